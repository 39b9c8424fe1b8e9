"""A registration that the container itself makes and renews, from the ops thread."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress

import structlog

from .client import OrchestratorClient, OrchestratorError
from .metrics import RegistrationMetrics
from .registrar import Registrar, RegistrarContext
from .settings import OrchestratorSettings
from .tls import TlsSettings

FIRST_RETRY_SECONDS = 0.5
# The shortest pause between two reports, however often something changes.
MIN_PAUSE_SECONDS = 0.5
WITHDRAW_SECONDS = 1
FOREVER = 86_400.0

log = structlog.get_logger()


class ActiveRegistrar(Registrar, ABC):
    """`run` executes on the ops thread, everything else on the main thread.

    Failures are counted, logged once per outage and retried; they never affect sessions.
    """

    def __init__(self, context: RegistrarContext) -> None:
        super().__init__(context)
        self._settings = context.settings
        self._client = OrchestratorClient(context.settings)
        self._sessions: frozenset[str] = frozenset()
        self._unreleased = 0
        self._opened = False
        self._closed = False
        self._registered = False
        self._failing = False
        self._confirmed_at = float("nan")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._report_wanted = asyncio.Event()
        self._withdrawing = asyncio.Event()
        self._withdrawn: Future[None] = Future()
        self._count_error = context.metrics.count_error
        self._metrics = RegistrationMetrics(context.metrics.registry)
        self._metrics.age.set_function(lambda: time.time() - self._confirmed_at)

    def open_admission(self) -> None:
        self._opened = True
        self.refresh()

    def follow(self, sessions: frozenset[str], unreleased: int) -> None:
        self._sessions = sessions
        self._unreleased = unreleased
        if self._closed:
            self.refresh()

    def close_admission(self) -> None:
        self._closed = True
        self.refresh()

    def refresh(self) -> None:
        self._set_on_loop(self._report_wanted)

    async def withdraw(self) -> None:
        """Unregister; gives up after WITHDRAW_SECONDS."""
        self._set_on_loop(self._withdrawing)
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await asyncio.shield(asyncio.wrap_future(self._withdrawn))

    def _set_on_loop(self, event: asyncio.Event) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(event.set)

    @abstractmethod
    async def _report(self) -> float:
        """Report the container's state; return the seconds until the next report is due.

        Raises OrchestratorError.
        """

    @abstractmethod
    async def _unregister(self) -> None:
        """Unregister, if there may be a registration. Raises OrchestratorError."""

    async def run(self) -> None:
        """Return when `withdraw` is done, or at once when no orchestrator is set."""
        self._loop = asyncio.get_running_loop()
        try:
            if self._settings[OrchestratorSettings].orchestrator_url is None:
                log.info("serving unregistered: BYOC_ORCHESTRATOR_URL is not set")
            else:
                await self._register_until_withdrawn()
        finally:
            self._loop = None
            self._withdrawn.set_result(None)

    async def _register_until_withdrawn(self) -> None:
        if self._settings[TlsSettings].orchestrator_tls == "off":
            log.warning("any certificate of the orchestrator is accepted: BYOC_ORCHESTRATOR_TLS")
        async with self._client:
            reporting = asyncio.create_task(self._keep_reporting())
            try:
                await self._withdrawing.wait()
            finally:
                reporting.cancel()
                await asyncio.wait([reporting])
            await self._attempt(self._unregister)

    async def _keep_reporting(self) -> None:
        """Report when something has changed and when a report is due; retry at growing intervals.

        The random factors spread the calls of containers that have been started together.
        """
        while not self._opened:
            await self._report_wanted.wait()
            self._report_wanted.clear()
        interval = self._settings[OrchestratorSettings].registration_interval_seconds
        retry, longest_retry = 0.0, interval
        while True:
            self._report_wanted.clear()
            due = await self._attempt(self._report)
            if due is None:
                retry = min(
                    2 * retry or FIRST_RETRY_SECONDS, max(longest_retry, FIRST_RETRY_SECONDS)
                )
                await asyncio.sleep(retry * random.uniform(0.5, 1))
                continue
            retry, longest_retry = 0, min(due, interval)
            await asyncio.sleep(MIN_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(due * random.uniform(0.9, 1) - MIN_PAUSE_SECONDS):
                    await self._report_wanted.wait()

    async def _attempt[T](self, call: Callable[[], Awaitable[T]]) -> T | None:
        """The call's result, None when it fails."""
        try:
            result = await call()
        except OrchestratorError as error:
            self._fail(error.outcome, str(error))
            return None
        except Exception as error:
            log.exception("registration failed inside the container")
            self._fail("internal", repr(error))
            return None
        self._failing = False
        return result

    def _fail(self, outcome: str, reason: str) -> None:
        self._metrics.attempts.labels(outcome=outcome).inc()
        if not self._failing:
            self._count_error("registration")
            log.warning("registration fails", reason=reason)
        self._failing = True
        self._set_registered(False)

    def _confirm(self, registered: bool) -> None:
        """The orchestrator has confirmed that it knows the container, or that it no longer does."""
        if registered != self._registered:
            log.info("registered" if registered else "no longer registered")
        self._set_registered(registered)
        if registered:
            self._metrics.attempts.labels(outcome="ok").inc()
            self._confirmed_at = time.time()

    def _set_registered(self, registered: bool) -> None:
        self._registered = registered
        self._metrics.registered.set(registered)
