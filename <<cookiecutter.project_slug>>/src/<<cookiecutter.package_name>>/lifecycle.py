"""From the first start of the model to the exit code: signals, drain and the order of shutdown."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
import uvicorn
import uvloop

from .api import create_app
from .engine.child import Child
from .engine.dispatcher import Dispatcher
from .engine.supervisor import ModelUnavailableError, Supervisor
from .errors import JobError
from .logs import configure_logs
from .ops.gpu import GpuMemory
from .ops.health import Health, Status
from .ops.metrics import Metrics
from .ops.server import OpsServer
from .orchestrator import Orchestrator
from .refusals import protocol
from .sessions import Sessions
from .settings import Settings, unknown_settings

KEEP_ALIVE_SECONDS = 120  # orchestrators reuse idle connections for up to 90 s
BEAT_SECONDS = 1

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


class JobServer(uvicorn.Server):
    """Leaves the signals to the lifecycle."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
        self._job_server = JobServer(
            uvicorn.Config(
                app,
                http=protocol(metrics),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )
        self._drain = asyncio.Event()
        self._quit = asyncio.Event()
        self._stop = asyncio.Event()
        self._force = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal or the end of the model; return the exit code of the process."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._drain.set)
        loop.add_signal_handler(signal.SIGQUIT, self._on_quit)
        loop.add_signal_handler(signal.SIGTERM, self._on_stop)
        loop.add_signal_handler(signal.SIGINT, self._on_stop)
        self._ops_server.start()
        model = asyncio.create_task(self._supervisor.run())
        server = asyncio.create_task(self._job_server.serve([self._jobs]))
        stop = asyncio.create_task(self._stop.wait())
        followers = [
            asyncio.create_task(follow)
            for follow in (self._beat(), self._load(), self._empty(), self._leave())
        ]
        await asyncio.wait([model, server, stop], return_when=asyncio.FIRST_COMPLETED)
        failed = model.done() or server.done()
        if failed:
            self._fail(model)
        in_time = await self._shut_down(model, server)
        for follower in followers:
            follower.cancel()
        log.info("stopped", in_time=in_time)
        return 0 if in_time and not failed else 1

    def _on_stop(self) -> None:
        """The second signal jumps to the deadline."""
        if self._stop.is_set():
            self._force.set()
        self._drain.set()
        self._stop.set()

    def _on_quit(self) -> None:
        """Drain, then stop."""
        self._drain.set()
        self._quit.set()

    async def _beat(self) -> None:
        while True:
            self._health.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _load(self) -> None:
        await self._supervisor.ready.wait()
        if self._health.status is Status.LOADING:
            self._health.status = Status.OK
            self._orchestrator.announce()

    async def _empty(self) -> None:
        """Close admission when told to; healthy as long as any session is open."""
        await self._drain.wait()
        self._sessions.close()
        self._orchestrator.close_admission()
        log.info("admission closed", sessions=self._sessions.count)
        await self._sessions.ended()
        await self._orchestrator.withdraw()
        self._health.status = Status.DRAINING

    async def _leave(self) -> None:
        await self._quit.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._sessions.ended()
        self._stop.set()

    def _fail(self, model: asyncio.Task[None]) -> None:
        self._health.status = Status.ERROR
        self._sessions.close()
        self._sessions.cut(JobError("worker_crash", "the model can't be started"))
        error = model.exception() if model.done() else None
        if isinstance(error, ModelUnavailableError):
            log.error("model unavailable", reason=str(error))
        else:
            log.error("container failed", exc_info=error)

    async def _shut_down(self, model: asyncio.Task[None], server: asyncio.Task[None]) -> bool:
        """False when something had to be cut."""
        #% if cookiecutter.pipeline == "live-video-to-video"
        self._sessions.stop()
        #% endif
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.shutdown_grace_seconds - SERVER_SECONDS
        in_time = await self._wait_for_sessions(end - WORKER_SECONDS - ANSWER_SECONDS)
        if not in_time:
            log.error("sessions cut at the deadline", sessions=self._sessions.count)
            self._sessions.cut(JobError("cancelled", "the container is shutting down; try again"))
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._sessions.ended()
        withdrawal = asyncio.create_task(self._orchestrator.withdraw())
        model.cancel()
        await asyncio.wait([model])
        if not await self._stop_worker(end - loop.time()):
            log.error("model's process killed at the deadline")
            in_time = False
        await asyncio.wait([withdrawal], timeout=max(0, end - loop.time()))
        self._job_server.should_exit = True
        self._ops_server.stop()
        await asyncio.wait([server], timeout=2 * SERVER_SECONDS)
        self._ops_server.join()
        return in_time

    async def _wait_for_sessions(self, deadline: float) -> bool:
        """Until all have ended, the deadline or a second signal; True when all have ended."""
        ended = asyncio.create_task(self._sessions.ended())
        force = asyncio.create_task(self._force.wait())
        seconds = max(0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait([ended, force], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        force.cancel()
        ended.cancel()
        return ended.done()

    async def _stop_worker(self, seconds: float) -> bool:
        """False when it had to be killed, at the deadline or for a second signal."""
        stop = asyncio.create_task(self._supervisor.stop(seconds))
        force = asyncio.create_task(self._force.wait())
        await asyncio.wait([stop, force], return_when=asyncio.FIRST_COMPLETED)
        force.cancel()
        if stop.done():
            return stop.result()
        stop.cancel()
        return await self._supervisor.stop(0)
