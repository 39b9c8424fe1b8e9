"""The model's process under supervision: started, watched, and replaced when it is lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import structlog

from ..errors import ErrorType, JobError, WorkerLostError
from ..metrics import Metrics
from ..settings import ContainerSettings, Settings
from .child import Child
from .dispatcher import Dispatcher
from .metrics import WorkerMetrics
from .process import WorkerProcess
from .settings import WorkerSettings
from .slot import Slot

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


class ModelUnavailableError(Exception):
    """The model can't be started."""


class Supervisor[S: Slot]:
    """Has the dispatcher serve the worker, and starts another one when it is lost.

    `first` is the first one's process, `spawn` starts the next. `on_loss` is called when a worker
    that served has been lost.
    """

    def __init__(
        self,
        first: Child,
        spawn: Callable[[], Child],
        settings: Settings,
        metrics: Metrics,
        dispatcher: Dispatcher[S],
        on_loss: Callable[[], None],
    ) -> None:
        self.state = State.LOADING
        self.ready = asyncio.Event()
        self._spawn = spawn
        self._container = settings[ContainerSettings]
        self._load_seconds = settings[WorkerSettings].load_timeout_seconds
        self._metrics = WorkerMetrics(metrics.registry)
        self._dispatcher = dispatcher
        self._on_loss = on_loss
        self._adopt(first)

    def require_ready(self) -> None:
        """Raises JobError when there is no worker that could take work now."""
        if self.state is not State.READY:
            raise JobError("capacity", REFUSALS[self.state])

    async def run(self) -> None:
        """Serve until cancelled; raises ModelUnavailableError when the model can't be started.

        A worker that has done useful work is replaced at once, any other after a growing delay.
        """
        failed_starts = 0
        delay = 0.0
        while True:
            oom_kills = count_oom_kills()
            self._dispatcher.useful = False
            if await self._load(self._worker):
                failed_starts = 0
                await self._serve(self._worker, oom_kills)
            else:
                failed_starts += 1
                if failed_starts == MAX_STARTS:
                    raise ModelUnavailableError(f"the model failed to load {MAX_STARTS} times")
            self._metrics.restarts.inc()
            delay = 0 if self._dispatcher.useful else longer(delay)
            log.info("model starts again", after_seconds=delay)
            await asyncio.sleep(delay)
            self._adopt(self._spawn())

    async def stop(self) -> None:
        """End the worker after `run` has ended, however long its work and the model's end take."""
        if self.state is not State.READY:
            await self.kill()
        elif exit_code := await self._worker.finish():
            log.error("worker ended badly", exit_code=exit_code)

    async def kill(self) -> None:
        """End the worker at once."""
        await self._worker.kill()

    def _adopt(self, child: Child) -> None:
        self._worker: WorkerProcess[S] = WorkerProcess(child)
        self._metrics.pid = child.pid

    async def _load(self, worker: WorkerProcess[S]) -> bool:
        container, seconds = self._container, self._load_seconds
        try:
            async with asyncio.timeout(seconds - worker.child.age):
                ready = await worker.ready(
                    self._dispatcher.slot_type, container.capacity, container.max_body_bytes
                )
        except TimeoutError:
            await worker.kill()
            raise ModelUnavailableError(f"the model was not loaded after {seconds:g} s") from None
        except WorkerLostError:
            await worker.kill()
            log.error("worker failed to start", exit_code=worker.child.exit_code)
            return False
        load_seconds = round(ready.load_seconds, 3)
        log.info("model loaded", pid=worker.child.pid, slots=ready.slots, seconds=load_seconds)
        self.state = State.READY
        self.ready.set()
        return True

    async def _serve(self, worker: WorkerProcess[S], oom_kills: int) -> None:
        """Until the worker is lost; then settle what it had in hand."""
        cause: ErrorType | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(worker))
                group.create_task(self._dispatcher.serve(worker))
        except* WorkerLostError as losses:
            cause = cause_of(losses)
        except* Exception:
            # A bug in the container must cost no more than a crash of the model.
            log.exception("worker served badly")
        self.state = State.RESTARTING
        await worker.kill()
        jobs = self._dispatcher.in_hand
        log.error("worker lost", cause=cause, exit_code=worker.child.exit_code, jobs=jobs)
        if cause is None:
            out_of_memory = count_oom_kills() > oom_kills
            loss: ErrorType = "out_of_memory" if out_of_memory else "worker_crash"
            self._dispatcher.settle(loss, known=False)
        else:
            self._dispatcher.settle("worker_crash", known=True)
        self._on_loss()

    async def _watch(self, worker: WorkerProcess[S]) -> None:
        await worker.child.wait()
        if self._dispatcher.in_hand:
            # Time for a last answer to be read; usually the slot's end of file comes first.
            await asyncio.sleep(EXIT_SECONDS)
        raise WorkerLostError


def cause_of(loss: WorkerLostError | ExceptionGroup[WorkerLostError]) -> ErrorType | None:
    """The first one that is known, in groups of whatever depth."""
    if isinstance(loss, WorkerLostError):
        return loss.cause
    return next(filter(None, map(cause_of, loss.exceptions)), None)


def longer(delay: float) -> float:
    """The pause after this one, in seconds."""
    return min(2 * delay or FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS)


def count_oom_kills() -> int:
    """How many processes the kernel's OOM killer has killed in this container."""
    for file in CGROUP_EVENTS:
        with suppress(OSError):
            words = Path(file).read_text().split()
            return int(dict(zip(words[::2], words[1::2], strict=True)).get("oom_kill", 0))
    return 0
