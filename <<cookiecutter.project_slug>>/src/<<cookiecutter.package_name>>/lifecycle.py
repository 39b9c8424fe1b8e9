"""From the first start of the model to the exit code: serving, drain and the order of shutdown."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog
import uvloop

from .api import create_app
from .deadline import Deadline
from .engine.child import Child
from .engine.dispatcher import Dispatcher
from .engine.supervisor import ModelUnavailableError, Supervisor
from .errors import JobError
from .http_server import HttpServer
from .logs import configure_logs
from .ops.gpu import GpuMemory
from .ops.health import Health, Status
from .ops.metrics import Metrics
from .ops.server import OpsServer
from .orchestrator import Orchestrator
from .sessions import Sessions
from .settings import Settings, unknown_settings
from .signals import StopSignals

BEAT_SECONDS = 1
LOOK_SECONDS = 0.02

# The end of the grace period belongs to the last answers, the worker's exit and the sockets.
ANSWER_SECONDS = 0.3
WORKER_SECONDS = 0.7
SERVER_SECONDS = 0.5

log = structlog.get_logger()


def run(settings: Settings, jobs: socket.socket, ops: socket.socket, child: Child) -> int:
    """Serve on these sockets, with this process of the model, until the exit code is known."""
    configure_logs(settings.log_format, settings.log_level)
    if names := unknown_settings():
        log.warning("unknown settings", names=names)

    async def serve() -> int:
        lifecycle = Lifecycle(settings, jobs, ops, child)
        log.info("listening", port=jobs.getsockname()[1], ops_port=ops.getsockname()[1])
        return await lifecycle.run()

    return uvloop.run(serve())


class Lifecycle:
    def __init__(
        self, settings: Settings, jobs: socket.socket, ops: socket.socket, child: Child
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._health = Health()
        metrics = Metrics(capacity=settings.capacity)
        gpu = GpuMemory(on_error=metrics.errors.labels(type="nvml").inc)
        metrics.registry.register(gpu)
        #% if cookiecutter.registration == "live-runner" and cookiecutter.__mode == "persistent"
        self._orchestrator = Orchestrator(
            settings, metrics, lambda session: self._sessions.released(session)
        )
        #% else
        self._orchestrator = Orchestrator(settings, metrics)
        #% endif
        self._ops_server = OpsServer(ops, self._health, metrics, gpu, self._orchestrator)
        self._sessions = Sessions(settings.capacity, metrics, self._orchestrator.follow)
        dispatcher = Dispatcher(settings, metrics)
        self._supervisor = Supervisor(
            child, settings, metrics, dispatcher, self._orchestrator.refresh
        )
        app = create_app(
            settings,
            self._sessions,
            self._supervisor,
            dispatcher,
            metrics,
            self._health,
            self._orchestrator,
        )
        self._job_server = HttpServer(app, metrics)
        self._signals: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> int:
        """Serve until a signal or the end of the model; return the exit code of the process."""
        signals = StopSignals(asyncio.get_running_loop(), self._signals.put_nowait)
        self._ops_server.start()
        model = asyncio.create_task(self._supervisor.run())
        server = asyncio.create_task(self._job_server.serve([self._jobs]))
        drained = asyncio.create_task(self._drain())
        followers = [asyncio.create_task(follow) for follow in (self._beat(), self._load())]
        await asyncio.wait([model, server, drained], return_when=asyncio.FIRST_COMPLETED)
        failed = model.done() or server.done()
        if failed:
            drained.cancel()
            self._fail(model)
        with Deadline(self._settings.shutdown_grace_seconds, self._signals) as grace:
            in_time = await self._shut_down(grace, model, server)
        for follower in followers:
            follower.cancel()
        log.info("stopped", in_time=in_time)
        signals.close()
        return 0 if in_time and not failed else 1

    async def _beat(self) -> None:
        while True:
            self._health.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _load(self) -> None:
        await self._supervisor.ready.wait()
        if not self._sessions.closed:
            self._health.status = Status.OK
            self._orchestrator.announce()

    def _fail(self, model: asyncio.Task[None]) -> None:
        self._health.status = Status.ERROR
        self._sessions.close()
        self._sessions.cut(JobError("worker_crash", "the model can't be started"))
        error = model.exception() if model.done() else None
        if isinstance(error, ModelUnavailableError):
            log.error("model unavailable", reason=str(error))
        else:
            log.error("container failed", exc_info=error)

    async def _drain(self) -> None:
        """Until the first signal, and then for what is open to end by itself: to the next signal,
        for BYOC_DRAIN_SECONDS at most.
        """
        name = await self._signals.get()
        self._sessions.close()
        self._orchestrator.close_admission()
        log.info("admission closed", signal=name, sessions=self._sessions.count)
        with Deadline(self._settings.drain_seconds, self._signals) as drain:
            ended = await drain.wait_for(self._everything_sent(), tell=self._telling("draining"))
            if not ended and self._settings.drain_seconds:
                log.info("drain ended", sessions=self._sessions.count, cause=drain.cause)

    async def _shut_down(
        self, grace: Deadline, model: asyncio.Task[None], server: asyncio.Task[None]
    ) -> bool:
        """False when something had to be cut."""
        #% if cookiecutter.pipeline == "live-video-to-video"
        self._sessions.stop()
        #% endif
        in_time = await self._end_sessions(grace)
        #% if cookiecutter.pipeline == "live-video-to-video"
        in_time = in_time and self._sessions.all_whole
        #% endif
        if self._health.status is not Status.ERROR:
            self._health.status = Status.DRAINING
        withdrawal = asyncio.create_task(
            grace.wait_for(self._orchestrator.withdraw(), SERVER_SECONDS)
        )
        model.cancel()
        await asyncio.wait([model])
        in_time = await self._stop_worker(grace) and in_time
        await withdrawal
        self._job_server.should_exit = True
        self._ops_server.stop()
        await asyncio.wait([server], timeout=2 * SERVER_SECONDS)
        self._ops_server.join()
        return in_time

    async def _end_sessions(self, grace: Deadline) -> bool:
        """False when some were cut."""
        reserve = ANSWER_SECONDS + WORKER_SECONDS + SERVER_SECONDS
        if await grace.wait_for(self._everything_sent(), reserve, self._telling("stopping")):
            return True
        log.error(
            "sessions cut",
            sessions=self._sessions.count,
            answers=self._job_server.unsent,
            cause=grace.cause,
        )
        self._sessions.cut(JobError("cancelled", "the container is shutting down; try again"))
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._everything_sent()
        return False

    async def _everything_sent(self) -> None:
        """No session is open, and all answers have gone out to their last byte."""
        await self._sessions.ended()
        while True:
            if not self._job_server.unsent:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _telling(self, event: str) -> Callable[[float], None]:
        """What is still waited for, and for how long at most."""

        def tell(left: float) -> None:
            log.info(
                event,
                sessions=self._sessions.count,
                answers=self._job_server.unsent,
                seconds_left=round(left, 1),
            )

        return tell

    async def _stop_worker(self, grace: Deadline) -> bool:
        """False when it was killed."""
        if await grace.wait_for(self._supervisor.stop(), SERVER_SECONDS, tell_of_model):
            return True
        log.error("model's process killed", cause=grace.cause)
        await self._supervisor.kill()
        return False


def tell_of_model(left: float) -> None:
    log.info("model closing", seconds_left=round(left, 1))
