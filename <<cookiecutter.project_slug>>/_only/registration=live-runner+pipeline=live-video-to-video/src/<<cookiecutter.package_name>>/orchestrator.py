"""A live runner whose sessions last, and are reserved at the orchestrator (contract §5)."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from .auth import REFUSED, require_token
from .errors import JobError
from .heartbeat import Heartbeat, Standing
from .keeper import FOREVER, Keeper
from .ops.metrics import Metrics
from .settings import Settings
from .subscriber import Subscriber
from .trickle import ChannelLostError, new_client

MAX_NOTICE_BYTES = 65_536
CONFIRM_SECONDS = 4
# A session that has been reserved for so long and is not open here does not count any more.
ABANDONED_SECONDS = 60
REFUSALS = {
    **REFUSED,
    403: "the orchestrator has not reserved this session",
    503: "the container is shutting down; try another one",
}

log = structlog.get_logger()


class Notice(BaseModel):
    """What comes on the channel from the orchestrator to the runner, keep-alives aside."""

    event: Literal["reserved", "released"]
    session: str


class Orchestrator(Keeper):
    """Admission is closed by a capacity that is taken already: whatever else would hide the runner
    ends its sessions. `on_release` is called, on the loop that is running now, with each session
    that the orchestrator has ended.
    """

    refusals = REFUSALS

    def __init__(
        self, settings: Settings, metrics: Metrics, on_release: Callable[[str], None]
    ) -> None:
        super().__init__(settings, metrics)
        self.token = settings.auth_token
        self._heartbeat = Heartbeat(settings, self._upstream)
        self._on_release = on_release
        self._main = asyncio.get_running_loop()
        self._reserved: frozenset[str] = frozenset()
        self._unclaimed: dict[str, float] = {}
        self._listener: asyncio.Task[None] | None = None
        self._begun = 0
        self._done = 0
        self._progress = asyncio.Condition()

    async def authorize(self, request: Request) -> None:
        """Only sessions that the orchestrator has told us of may call. Raises JobError."""
        require_token(request, self.token)
        session = request.headers.get("Livepeer-Session-Id", "")
        if self._settings.orchestrator_url is None or session in self._reserved:
            return
        if self._loop is not None and session:
            # The caller may have been faster than the orchestrator's word of it.
            asking = asyncio.run_coroutine_threadsafe(self._ask(session), self._loop)
            await asyncio.wait([asyncio.wrap_future(asking)], timeout=CONFIRM_SECONDS)
        if session not in self._reserved:
            if self._closed:
                raise JobError("capacity", REFUSALS[503])
            raise JobError("auth", REFUSALS[403], field="Livepeer-Session-Id", status=403)

    async def _ask(self, session: str) -> None:
        """Until we are told of the session, or by a heartbeat from now on that it is unknown."""
        needed = self._begun + 1
        self._news.set()
        async with asyncio.timeout(CONFIRM_SECONDS), self._progress:
            await self._progress.wait_for(lambda: session in self._reserved or self._done >= needed)

    async def _tell(self) -> float:
        self._begun += 1
        number = self._begun
        try:
            return await self._stand()
        finally:
            self._done = number
            await self._notify()

    async def _stand(self) -> float:
        if self._closed and not self._sessions:
            return FOREVER  # only the withdrawal is left
        reserved, capacity = self._reserved, self._capacity()
        standing = await self._heartbeat.beat(capacity, self._sessions)
        if standing is None:
            if self._closed:
                return FOREVER
            self._mark(False)
            standing = await self._heartbeat.register(capacity, self._sessions)
            self._listen(standing)
        self._mark(True)
        self._reconcile(reserved, frozenset(standing.session_ids or []))
        return standing.due

    async def _retract(self) -> None:
        self._stop_listening()
        await self._heartbeat.stop()
        self._mark(False)

    def _capacity(self) -> int:
        """What we have room for, and one more for each reservation that nobody uses: without a
        call it can't be given back, and its slot would be lost.
        """
        if self._closed:
            return len(self._sessions)
        long_ago = time.monotonic() - ABANDONED_SECONDS
        abandoned = sum(since < long_ago for since in self._unclaimed.values())
        return self._settings.capacity + abandoned

    def _reconcile(self, known: frozenset[str], told: frozenset[str]) -> None:
        """`known` are those that we had been told of before we asked, `told` those of the answer:
        what is in the first alone has been released, what came meanwhile stays.
        """
        self._reserved = told | (self._reserved - known)
        for session in known - told:
            self._release(session)
        now = time.monotonic()
        unclaimed = told - self._sessions
        self._unclaimed = {session: self._unclaimed.get(session, now) for session in unclaimed}

    def _listen(self, standing: Standing) -> None:
        self._stop_listening()
        if standing.o2r:
            url = standing.o2r.internal_url or standing.o2r.url
            self._listener = asyncio.create_task(self._hear(url))

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    async def _hear(self, url: str) -> None:
        """What is missed here, the next heartbeat's answer tells."""
        try:
            async with (
                new_client(self._settings.tls) as http,
                aclosing(Subscriber(http, url).segments()) as segments,
            ):
                async for segment in segments:
                    await self._heed(await segment.read(MAX_NOTICE_BYTES))
        except ChannelLostError:
            log.info("the orchestrator's channel can't be reached")

    async def _heed(self, message: bytes) -> None:
        try:
            notice = Notice.model_validate_json(message)
        except ValidationError:
            return
        if notice.event == "reserved":
            self._reserved |= {notice.session}
        elif notice.session in self._reserved:
            self._reserved -= {notice.session}
            self._release(notice.session)
        await self._notify()

    def _release(self, session: str) -> None:
        self._main.call_soon_threadsafe(self._on_release, session)

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()
