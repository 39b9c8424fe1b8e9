"""Hands jobs to the model, and retries or fails those that a lost worker had in hand."""

import asyncio
from collections import deque
from contextlib import suppress

from ..errors import ErrorType, JobError, WorkerLostError
from ..metrics import Metrics
from ..settings import Settings
from .dispatcher import Dispatcher
from .job import Job
from .job_settings import JobSettings
from .job_slot import JobSlot
from .process import WorkerProcess

LOSSES: dict[ErrorType, str] = {
    "worker_crash": "the model's process crashed; try again",
    "out_of_memory": "the model ran out of memory; try again",
}


class JobDispatcher(Dispatcher[JobSlot]):
    """Gives jobs to the worker in the order in which they came.

    Their number is bounded by the sessions that are admitted.
    """

    slot_type = JobSlot

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__()
        self._settings = settings[JobSettings]
        self._metrics = metrics
        self._waiting: deque[Job] = deque()
        self._in_hand: list[Job] = []
        self._arrival = asyncio.Event()
        self._suspect: Job | None = None

    @property
    def in_hand(self) -> int:
        return len(self._in_hand)

    def enqueue(self, job: Job) -> None:
        self._waiting.append(job)
        self._arrival.set()

    def drop(self, job: Job) -> None:
        """Its caller has hung up, or has received the whole answer."""
        job.abandon()
        with suppress(ValueError):
            self._waiting.remove(job)

    async def serve(self, worker: WorkerProcess[JobSlot]) -> None:
        async with asyncio.TaskGroup() as group:
            for slot in worker.slots:
                group.create_task(self._serve_slot(worker, slot))

    def settle(self, loss: ErrorType, *, known: bool) -> None:
        """Fail the jobs of a lost worker, or try them once more.

        If the cause is unknown and the worker had only one job, that job is taken to be the cause.
        """
        self._suspect = None
        jobs, self._in_hand = self._in_hand, []
        failed = [job for job in jobs if job.begun or job.retried or (not known and len(jobs) == 1)]
        for job in failed:
            self._fail(job, JobError(loss, LOSSES[loss]))
        if not failed and not known:
            self._metrics.count_error(loss)
        for job in reversed(jobs):
            if job not in failed and not job.abandoned:
                job.retried = True
                self._waiting.appendleft(job)

    async def _serve_slot(self, worker: WorkerProcess[JobSlot], slot: JobSlot) -> None:
        model_seconds = self._settings.job_timeout_seconds
        caller_seconds = self._settings.send_timeout_seconds
        while worker.alive:
            job = await self._take()
            try:
                await slot.exchange(job, model_seconds, caller_seconds)
            except TimeoutError:
                self._in_hand.remove(job)
                words = f"the model took longer than {model_seconds:g} s"
                self._fail(job, JobError("timeout", words))
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
        """The next job. Those whose worker was lost are tried one at a time, to find the one that
        crashes it.
        """
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
        """The error is counted where the caller is answered, or here when the caller has gone."""
        if job.abandoned:
            self._metrics.count_error(error.type)
        job.fail(error)
