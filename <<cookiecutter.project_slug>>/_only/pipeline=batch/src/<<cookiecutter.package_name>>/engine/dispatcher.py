"""Which job goes to the model next, and what becomes of those that a lost worker had in hand."""

import asyncio
from collections import deque
from contextlib import suppress

from ..errors import ErrorType, JobError, WorkerLostError
from ..ops.metrics import Metrics
from ..settings import Settings
from .job import Job
from .lane import Lane
from .process import WorkerProcess

LOSSES: dict[ErrorType, str] = {
    "worker_crash": "the model's process crashed; try again",
    "out_of_memory": "the model ran out of memory; try again",
}


class Dispatcher:
    """Hands jobs to the worker in the order they came.

    Their number is bounded by the sessions that are admitted. `useful` tells whether a job was
    answered since the worker started.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.useful = False
        self._settings = settings
        self._metrics = metrics
        self._waiting: deque[Job] = deque()
        self._in_hand: list[Job] = []
        self._arrival = asyncio.Event()
        self._suspect: Job | None = None

    @property
    def in_hand(self) -> int:
        """How many jobs the worker has."""
        return len(self._in_hand)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._arrival.set()

    def withdraw(self, job: Job) -> None:
        """Its caller has gone, or has got all of its answer."""
        job.abandon()
        with suppress(ValueError):
            self._waiting.remove(job)

    async def serve(self, worker: WorkerProcess) -> None:
        """Until the worker is lost: raises WorkerLostErrors in an ExceptionGroup."""
        async with asyncio.TaskGroup() as group:
            for lane in worker.lanes:
                group.create_task(self._attend(worker, lane))

    def settle(self, loss: ErrorType, *, known: bool) -> None:
        """Fail the jobs of a lost worker, or try them once more.

        `known`: the job that cost the worker has been failed already, these are its neighbours.
        Else a single job is the one, and of several nobody knows.
        """
        self._suspect = None
        jobs, self._in_hand = self._in_hand, []
        failed = [job for job in jobs if job.begun or job.retried or (not known and len(jobs) == 1)]
        for job in failed:
            self._fail(job, JobError(loss, LOSSES[loss]))
        if not failed and not known:
            self._metrics.errors.labels(type=loss).inc()
        for job in reversed(jobs):
            if job not in failed and not job.abandoned:
                job.retried = True
                self._waiting.appendleft(job)

    async def _attend(self, worker: WorkerProcess, lane: Lane) -> None:
        seconds = self._settings.job_timeout_seconds
        patience = self._settings.send_timeout_seconds
        while worker.alive:
            job = await self._take()
            try:
                await lane.exchange(job, seconds, patience)
            except TimeoutError:
                self._in_hand.remove(job)
                self._fail(job, JobError("timeout", f"the model took longer than {seconds:g} s"))
                raise WorkerLostError("timeout") from None
            except JobError as error:
                self._in_hand.remove(job)
                self._fail(job, error)
                if error.type == "out_of_memory":
                    # What is left of the process's memory is unknown.
                    raise WorkerLostError(error.type) from None
            else:
                self._in_hand.remove(job)
            self.useful = True
            if self._suspect is job:
                self._suspect = None
                self._arrival.set()
        raise WorkerLostError

    async def _take(self) -> Job:
        """The next job. Those that saw a worker die go one by one, to tell the killer apart."""
        while True:
            for job in self._waiting:
                if not (job.retried and self._suspect):
                    self._waiting.remove(job)
                    self._in_hand.append(job)
                    self._suspect = job if job.retried else self._suspect
                    return job
            self._arrival.clear()
            await self._arrival.wait()

    def _fail(self, job: Job, error: JobError) -> None:
        """Tell the caller, who counts it; when there is none any more, count it here."""
        if job.abandoned:
            self._metrics.errors.labels(type=error.type).inc()
        job.fail(error)
