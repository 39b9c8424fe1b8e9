"""The model's process under supervision: jobs go in, answers come out, whatever happens to it."""

import asyncio
from collections import deque
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import structlog

from ..errors import ErrorType, JobError
from ..ops.metrics import Metrics
from ..settings import Settings
from .job import Job
from .messages import WorkerOptions
from .process import Lane, WorkerLostError, WorkerProcess

MAX_STARTS = 3
FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5
EXIT_SECONDS = 1

# Of cgroup v2 and v1.
CGROUP_EVENTS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)

log = structlog.get_logger()


class State(Enum):
    LOADING = auto()
    READY = auto()
    RESTARTING = auto()


REFUSALS = {
    State.LOADING: "the model is loading; try again",
    State.RESTARTING: "the model is restarting; try again",
}

LOSSES: dict[ErrorType, str] = {
    "worker_crash": "the model's process crashed; try again",
    "out_of_memory": "the model ran out of memory; try again",
}


class ModelUnavailableError(Exception):
    """The model does not come up."""


class Supervisor:
    """Starts the worker, hands it jobs in the order they came, and restarts it when it is lost.

    The number of jobs is bounded by the sessions that are admitted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.state = State.LOADING
        self.ready = asyncio.Event()
        self._settings = settings
        self._metrics = metrics
        self._waiting: deque[Job] = deque()
        self._arrival = asyncio.Event()
        self._suspect: Job | None = None
        self._useful = False
        self._worker: WorkerProcess | None = None

    def submit(self, job: Job) -> None:
        """Raises JobError when there is no worker that could take it now."""
        if self.state is not State.READY:
            raise JobError("capacity", REFUSALS[self.state])
        self._waiting.append(job)
        self._arrival.set()

    def withdraw(self, job: Job) -> None:
        """Its caller has gone, or has got all of its answer."""
        job.abandon()
        with suppress(ValueError):
            self._waiting.remove(job)

    async def run(self) -> None:
        """Serve until cancelled; raises ModelUnavailableError when the model can't be started.

        A worker that answered jobs is replaced at once, one that did not after a growing delay.
        """
        failed_starts = 0
        delay = 0.0
        while True:
            oom_kills = count_oom_kills()
            worker = self._worker = await WorkerProcess.spawn(self._worker_options())
            if await self._load(worker):
                failed_starts = 0
                await self._serve(worker, oom_kills)
            else:
                failed_starts += 1
                if failed_starts == MAX_STARTS:
                    raise ModelUnavailableError(f"the model failed to load {MAX_STARTS} times")
            self._metrics.worker_restarts.inc()
            delay = 0 if self._useful else longer(delay)
            self._useful = False
            log.info("model starts again", after_seconds=delay)
            await asyncio.sleep(delay)

    async def stop(self, seconds: float) -> bool:
        """End the worker after `run` has ended; False when it had to be killed at its work."""
        if self._worker is None:
            return True
        if self.state is State.READY:
            return await self._worker.close(seconds)
        await self._worker.kill()
        return True

    def _worker_options(self) -> WorkerOptions:
        settings = self._settings
        return WorkerOptions(
            supervisor=0,
            control=0,
            model=settings.model,
            weights_dir=str(settings.weights_dir),
            capacity=settings.capacity,
            max_body_bytes=settings.max_body_bytes,
            log_format=settings.log_format,
            log_level=settings.log_level,
        )

    async def _load(self, worker: WorkerProcess) -> bool:
        seconds = self._settings.load_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                ready = await worker.ready(self._settings.max_body_bytes)
        except TimeoutError:
            await worker.kill()
            raise ModelUnavailableError(f"the model was not loaded after {seconds:g} s") from None
        except WorkerLostError:
            await worker.kill()
            log.error("worker failed to start", exit_code=worker.returncode)
            return False
        log.info(
            "model loaded", pid=worker.pid, lanes=ready.lanes, seconds=round(ready.load_seconds, 3)
        )
        self.state = State.READY
        self.ready.set()
        return True

    async def _serve(self, worker: WorkerProcess, oom_kills: int) -> None:
        """Until the worker is lost; then settle what it had in hand."""
        cause: ErrorType | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(worker))
                for lane in worker.lanes:
                    group.create_task(self._attend(worker, lane))
        except* WorkerLostError as losses:
            for loss in losses.exceptions:
                if isinstance(loss, WorkerLostError):
                    cause = cause or loss.cause
        self.state = State.RESTARTING
        self._suspect = None
        jobs = [lane.job for lane in worker.lanes if lane.job is not None]
        await worker.kill()
        log.error("worker lost", cause=cause, exit_code=worker.returncode, jobs=len(jobs))
        if cause is None:
            out_of_memory = count_oom_kills() > oom_kills
            self._settle(jobs, "out_of_memory" if out_of_memory else "worker_crash", known=False)
        else:
            self._settle(jobs, "worker_crash", known=True)

    def _settle(self, jobs: list[Job], loss: ErrorType, *, known: bool) -> None:
        """Fail the jobs of a lost worker, or try them once more.

        `known`: the job that cost the worker has been failed already, these are its neighbours.
        Else a single job is the one, and of several nobody knows.
        """
        failed = [job for job in jobs if job.begun or job.retried or (not known and len(jobs) == 1)]
        for job in failed:
            self._fail(job, JobError(loss, LOSSES[loss]))
        if not failed and not known:
            self._metrics.errors.labels(type=loss).inc()
        for job in jobs:
            if job not in failed and not job.abandoned:
                job.retried = True
                self._waiting.appendleft(job)

    async def _watch(self, worker: WorkerProcess) -> None:
        await worker.wait()
        if any(lane.job for lane in worker.lanes):
            # Time for a last answer to be read; usually the lane's end of file comes first.
            await asyncio.sleep(EXIT_SECONDS)
        raise WorkerLostError

    async def _attend(self, worker: WorkerProcess, lane: Lane) -> None:
        seconds = self._settings.job_timeout_seconds
        patience = self._settings.send_timeout_seconds
        while worker.alive:
            job = lane.job = await self._take()
            try:
                await lane.exchange(job, seconds, patience)
            except TimeoutError:
                lane.job = None
                self._fail(job, JobError("timeout", f"the model took longer than {seconds:g} s"))
                raise WorkerLostError("timeout") from None
            except JobError as error:
                lane.job = None
                self._fail(job, error)
                if error.type == "out_of_memory":
                    # What is left of the process's memory is unknown.
                    raise WorkerLostError(error.type) from None
            lane.job = None
            self._useful = True
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
                    self._suspect = job if job.retried else self._suspect
                    return job
            self._arrival.clear()
            await self._arrival.wait()

    def _fail(self, job: Job, error: JobError) -> None:
        """Tell the caller, who counts it; when there is none any more, count it here."""
        if job.abandoned:
            self._metrics.errors.labels(type=error.type).inc()
        job.fail(error)


def longer(delay: float) -> float:
    """The pause after this one, in seconds."""
    return min(2 * delay or FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS)


def count_oom_kills() -> int:
    """How often the kernel has killed for want of memory in this container."""
    for file in CGROUP_EVENTS:
        with suppress(OSError):
            words = Path(file).read_text().split()
            return int(dict(zip(words[::2], words[1::2], strict=True)).get("oom_kill", 0))
    return 0
