"""From the first start of the model to the exit code: serving, drain and the order of shutdown."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog
import uvloop

from .api.service import ServiceContext
from .container import Container
from .deadline import Deadline
from .errors import JobError
from .health import Health, Status
from .http.server import HttpServer
from .livepeer.registrar import RegistrarContext
from .logs import configure_logs
from .metrics import Metrics
from .ops.server import OpsServer
from .settings import ContainerSettings
from .signals import StopSignals
from .worker.supervisor import ModelUnavailableError, Supervisor

BEAT_SECONDS = 1
LOOK_SECONDS = 0.02

# Reserved at the end of the grace period for last responses, worker exit and closing sockets.
ANSWER_SECONDS = 0.3
WORKER_SECONDS = 0.7
SERVER_SECONDS = 0.5

log = structlog.get_logger()


def run(container: Container, unknown: list[str]) -> int:
    """Serve until the exit code is known; `unknown` are variables that no setting has."""
    settings = container.settings[ContainerSettings]
    configure_logs(settings.log_format, settings.log_level)
    if unknown:
        log.warning("unknown settings", names=unknown)

    async def serve() -> int:
        lifecycle = Lifecycle(container)
        port, ops_port = (each.getsockname()[1] for each in (container.jobs, container.ops))
        log.info("listening", port=port, ops_port=ops_port)
        return await lifecycle.run()

    return uvloop.run(serve())


class Lifecycle:
    def __init__(self, container: Container) -> None:
        settings, parts = container.settings, container.parts
        self._settings = settings[ContainerSettings]
        self._jobs = container.jobs
        self._health = Health()
        metrics = Metrics(container.distribution, self._settings.capacity)
        gpu = container.gpu(partial(metrics.count_error, "nvml"))
        metrics.registry.register(gpu)
        self._registrar = parts.registrar(
            RegistrarContext(
                settings,
                metrics,
                container.distribution,
                gpu.first_device,
                lambda session: self._admission.released(session),
            )
        )
        service = parts.service(
            ServiceContext(settings, metrics, self._registrar, self._health, container.distribution)
        )
        self._admission = service.admission
        self._supervisor = Supervisor(
            container.child,
            container.spawn,
            settings,
            metrics,
            service.dispatcher,
            self._registrar.refresh,
        )
        self._job_server = HttpServer(service.create_app(self._supervisor), metrics)
        self._ops_server = OpsServer(
            container.ops,
            self._health,
            metrics,
            gpu,
            beside=self._registrar.run,
            on_poll=self._registrar.health_polled,
        )
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
        signals.ignore()
        return 0 if in_time and not failed else 1

    async def _beat(self) -> None:
        while True:
            self._health.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _load(self) -> None:
        await self._supervisor.ready.wait()
        if not self._admission.closed:
            self._health.status = Status.OK
            self._registrar.open_admission()

    def _fail(self, model: asyncio.Task[None]) -> None:
        self._health.status = Status.ERROR
        self._admission.refuse_new()
        self._admission.cut(JobError("worker_crash", "the model can't be started"))
        error = model.exception() if model.done() else None
        if isinstance(error, ModelUnavailableError):
            log.error("model unavailable", reason=str(error))
        else:
            log.error("container failed", exc_info=error)

    async def _drain(self) -> None:
        """Wait for the first signal; then close admission, and wait for open sessions to end by
        themselves: until the next signal, for BYOC_DRAIN_SECONDS at most.
        """
        name = await self._signals.get()
        self._admission.refuse_new()
        self._registrar.close_admission()
        log.info("admission closed", signal=name, sessions=self._admission.count)
        with Deadline(self._settings.drain_seconds, self._signals) as drain:
            ended = await drain.wait_for(
                self._everything_sent(), report=self._reporting("draining")
            )
            if not ended and self._settings.drain_seconds:
                log.info("drain ended", sessions=self._admission.count, cause=drain.cause)

    async def _shut_down(
        self, grace: Deadline, model: asyncio.Task[None], server: asyncio.Task[None]
    ) -> bool:
        """False when something had to be cut."""
        self._admission.stop()
        in_time = await self._end_sessions(grace) and self._admission.lossless
        if self._health.status is not Status.ERROR:
            self._health.status = Status.DRAINING
        withdrawal = asyncio.create_task(grace.wait_for(self._registrar.withdraw(), SERVER_SECONDS))
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
        if await grace.wait_for(self._everything_sent(), reserve, self._reporting("stopping")):
            return True
        log.error(
            "sessions cut",
            sessions=self._admission.count,
            answers=self._job_server.unsent,
            cause=grace.cause,
        )
        self._admission.cut(JobError("cancelled", "the container is shutting down; try again"))
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._everything_sent()
        return False

    async def _everything_sent(self) -> None:
        """No session is open, and all answers have gone out to their last byte."""
        await self._admission.ended()
        while True:
            if not self._job_server.unsent:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _reporting(self, event: str) -> Callable[[float], None]:
        """Logs what the container still waits for, and for how long at most."""

        def report(left: float) -> None:
            log.info(
                event,
                sessions=self._admission.count,
                answers=self._job_server.unsent,
                seconds_left=round(left, 1),
            )

        return report

    async def _stop_worker(self, grace: Deadline) -> bool:
        """False when it was killed."""
        if await grace.wait_for(self._supervisor.stop(), SERVER_SECONDS, report_model_closing):
            return True
        log.error("model's process killed", cause=grace.cause)
        await self._supervisor.kill()
        return False


def report_model_closing(left: float) -> None:
    log.info("model closing", seconds_left=round(left, 1))
