"""A live runner whose sessions last, and are reserved at the orchestrator
(ai/runner/live_runner.go).
"""

import asyncio
import time
from contextlib import aclosing
from typing import Literal

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from ..errors import JobError
from .auth import REFUSED
from .live_runner import HeartbeatResponse, LiveRunner
from .registrar import RegistrarContext
from .settings import OrchestratorSettings
from .subscriber import Subscriber
from .tls import TlsSettings
from .trickle import ChannelLostError, new_client

MAX_EVENT_BYTES = 65_536
RESERVATION_SECONDS = 4
# A reservation without a call for this long is taken to be abandoned.
ABANDONED_SECONDS = 60
REFUSALS = {
    **REFUSED,
    403: "the orchestrator has not reserved this session",
    503: "the container is shutting down; try another one",
}

log = structlog.get_logger()


class ReservationEvent(BaseModel):
    """What the orchestrator sends on its channel to the runner, keep-alives aside."""

    event: Literal["reserved", "released"]
    session: str


class PersistentRunner(LiveRunner):
    """Knows which sessions the orchestrator has reserved, from heartbeats and from its channel.

    `on_release` of the context is called for each one that it has released.
    """

    mode = "persistent"
    refusals = REFUSALS

    def __init__(self, context: RegistrarContext) -> None:
        super().__init__(context)
        self._on_release = context.on_release
        self._main_loop = asyncio.get_running_loop()
        self._reserved: frozenset[str] = frozenset()
        # Reserved sessions that are not open, and since when.
        self._unclaimed: dict[str, float] = {}
        self._listener: asyncio.Task[None] | None = None
        self._reports_begun = 0
        self._reports_done = 0
        self._progress = asyncio.Condition()

    async def authorize(self, request: Request) -> None:
        """Callers must name a session that the orchestrator has reserved. Raises JobError."""
        await super().authorize(request)
        session = request.headers.get("Livepeer-Session-Id", "")
        url = self._settings[OrchestratorSettings].orchestrator_url
        if url is None or session in self._reserved:
            return
        if self._loop is not None and session:
            # A call may arrive before the event of its reservation.
            waiting = asyncio.run_coroutine_threadsafe(
                self._wait_for_reservation(session), self._loop
            )
            await asyncio.wait([asyncio.wrap_future(waiting)], timeout=RESERVATION_SECONDS)
        if session not in self._reserved:
            if self._closed:
                raise JobError("capacity", REFUSALS[503])
            raise JobError("auth", REFUSALS[403], field="Livepeer-Session-Id", status=403)

    async def _wait_for_reservation(self, session: str) -> None:
        """Wait until the session is reserved, or a heartbeat sent from now on has been answered
        without it.
        """
        needed = self._reports_begun + 1
        self._report_wanted.set()
        async with asyncio.timeout(RESERVATION_SECONDS), self._progress:
            await self._progress.wait_for(
                lambda: session in self._reserved or self._reports_done >= needed
            )

    async def _report(self) -> float:
        self._reports_begun += 1
        number = self._reports_begun
        try:
            return await super()._report()
        finally:
            self._reports_done = number
            await self._notify()

    async def _send_heartbeat(self) -> HeartbeatResponse | None:
        before = self._reserved
        response = await super()._send_heartbeat()
        if response:
            self._reconcile(before, frozenset(response.session_ids or []))
        return response

    def _capacity(self) -> int:
        """One more for each abandoned reservation, because the runner can't release it, and its
        slot would be lost.
        """
        if self._closed:
            return super()._capacity()
        deadline = time.monotonic() - ABANDONED_SECONDS
        abandoned = sum(since < deadline for since in self._unclaimed.values())
        return super()._capacity() + abandoned

    def _reconcile(self, before: frozenset[str], listed: frozenset[str]) -> None:
        """`before` are the sessions that were reserved when the heartbeat was sent, `listed` those
        of its response.

        Those that are only in `before` have been released; those that were reserved meanwhile stay.
        """
        self._reserved = listed | (self._reserved - before)
        for session in before - listed:
            self._release(session)
        now = time.monotonic()
        unclaimed = listed - self._sessions
        self._unclaimed = {session: self._unclaimed.get(session, now) for session in unclaimed}

    def _on_registered(self, response: HeartbeatResponse) -> None:
        """Listen to the new runner's channel."""
        self._stop_listening()
        if channel := response.o2r:
            self._listener = asyncio.create_task(self._listen(channel.internal_url or channel.url))

    async def _unregister(self) -> None:
        self._stop_listening()
        await super()._unregister()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    async def _listen(self, url: str) -> None:
        """An event that is missed here shows in the next heartbeat's response."""
        try:
            async with (
                new_client(self._settings[TlsSettings].tls) as http,
                aclosing(Subscriber(http, url).segments()) as segments,
            ):
                async for segment in segments:
                    await self._receive(await segment.read(MAX_EVENT_BYTES))
        except ChannelLostError:
            log.info("the orchestrator's channel can't be reached")

    async def _receive(self, message: bytes) -> None:
        try:
            received = ReservationEvent.model_validate_json(message)
        except ValidationError:
            return
        if received.event == "reserved":
            self._reserved |= {received.session}
        elif received.session in self._reserved:
            self._reserved -= {received.session}
            self._release(received.session)
        await self._notify()

    def _release(self, session: str) -> None:
        self._main_loop.call_soon_threadsafe(self._on_release, session)

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()
