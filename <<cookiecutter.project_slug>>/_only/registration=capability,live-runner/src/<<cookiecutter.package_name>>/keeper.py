"""Keeps an orchestrator informed of this container, from the ops thread."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress

import structlog

from .ops.metrics import Metrics
from .settings import Settings
from .upstream import Upstream, UpstreamError

FIRST_DELAY_SECONDS = 0.5
# Between two words, however much there is to tell.
PAUSE_SECONDS = 0.5
WITHDRAW_SECONDS = 1
FOREVER = 86_400.0

log = structlog.get_logger()


class Keeper(ABC):
    """Announces, keeps announced, closes admission and withdraws.

    `run` speaks to the orchestrator; the rest is for the main thread. What goes wrong is counted,
    told in the log when it begins, and tried again: it never reaches who serves.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._upstream = Upstream(settings)
        self._sessions: frozenset[str] = frozenset()
        self._unreleased = 0
        self._announced = False
        self._closed = False
        self._registered = False
        self._failing = False
        self._confirmed = float("nan")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._leaving = asyncio.Event()
        self._left: Future[None] = Future()
        metrics.registration_age.set_function(lambda: time.time() - self._confirmed)

    def announce(self) -> None:
        """The container serves from now on."""
        self._announced = True
        self.refresh()

    def follow(self, sessions: frozenset[str], unreleased: int = 0) -> None:
        """These are open; so many more have ended, but are still counted by the orchestrator."""
        self._sessions = sessions
        self._unreleased = unreleased
        if self._closed:
            self.refresh()

    def close_admission(self) -> None:
        """No new sessions; those that are open go on."""
        self._closed = True
        self.refresh()

    def refresh(self) -> None:
        """Tell the orchestrator again, at once."""
        self._wake(self._news)

    async def withdraw(self) -> None:
        """Have the orchestrator forget us; it gives up after WITHDRAW_SECONDS."""
        self._wake(self._leaving)
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await asyncio.shield(asyncio.wrap_future(self._left))

    def _wake(self, event: asyncio.Event) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(event.set)

    @abstractmethod
    async def _tell(self) -> float:
        """Say how we stand; the seconds until it has to be said again. Raises UpstreamError."""

    @abstractmethod
    async def _retract(self) -> None:
        """Ask to be forgotten, where we may be known. Raises UpstreamError."""

    async def run(self) -> None:
        """Until `withdraw`; without an address there is nothing to say."""
        self._loop = asyncio.get_running_loop()
        try:
            if self._settings.orchestrator_url is None:
                log.info("serving unannounced: BYOC_ORCHESTRATOR_URL is not set")
            else:
                await self._run()
        finally:
            self._loop = None
            self._left.set_result(None)

    async def _run(self) -> None:
        if self._settings.orchestrator_tls == "off":
            log.warning("any certificate of the orchestrator is accepted: BYOC_ORCHESTRATOR_TLS")
        async with self._upstream:
            keeping = asyncio.create_task(self._keep())
            try:
                await self._leaving.wait()
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
            await self._attempt(self._retracted)

    async def _keep(self) -> None:
        """At once when there is news, but slower and slower as long as it fails."""
        while not self._announced:
            await self._news.wait()
            self._news.clear()
        delay = 0.0
        due = self._settings.registration_interval_seconds
        while True:
            self._news.clear()
            told = await self._attempt(self._tell)
            if told is None:
                delay = min(2 * delay or FIRST_DELAY_SECONDS, max(due, FIRST_DELAY_SECONDS))
                await asyncio.sleep(delay * random.uniform(0.5, 1))
                continue
            delay, due = 0, min(told, self._settings.registration_interval_seconds)
            await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(told * random.uniform(0.9, 1) - PAUSE_SECONDS):
                    await self._news.wait()

    async def _retracted(self) -> float:
        await self._retract()
        return FOREVER

    async def _attempt(self, speak: Callable[[], Awaitable[float]]) -> float | None:
        """None when it fails."""
        try:
            seconds = await speak()
        except UpstreamError as error:
            self._fail(error.outcome, str(error))
            return None
        except Exception as error:
            log.exception("registration failed inside the container")
            self._fail("internal", repr(error))
            return None
        self._failing = False
        return seconds

    def _fail(self, outcome: str, reason: str) -> None:
        self._metrics.registration_attempts.labels(outcome=outcome).inc()
        if not self._failing:
            self._metrics.errors.labels(type="registration").inc()
            log.warning("registration fails", reason=reason)
        self._failing = True
        self._set(False)

    def _mark(self, registered: bool) -> None:
        """The orchestrator has confirmed that it knows us, or that it does not any more."""
        if registered != self._registered:
            log.info("registered" if registered else "no longer registered")
        self._set(registered)
        if registered:
            self._metrics.registration_attempts.labels(outcome="ok").inc()
            self._confirmed = time.time()

    def _set(self, registered: bool) -> None:
        self._registered = registered
        self._metrics.registered.set(registered)
