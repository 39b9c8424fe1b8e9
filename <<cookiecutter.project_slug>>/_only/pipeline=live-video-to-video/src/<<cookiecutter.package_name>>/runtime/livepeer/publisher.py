"""Writes a trickle channel, whose server is go-livepeer's trickle/trickle_server.go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import aiohttp

from .trickle import ASK_SECONDS, FAILURES, RETRY_SECONDS, ChannelClosedError, Outage

WRITE_SECONDS = 5
RESPONSE_SECONDS = 5
DELIVER_SECONDS = 1
DELETE_SECONDS = 1
# A closed channel keeps nothing for readers that have not requested the last segment yet.
LINGER_SECONDS = 0.3


class Publisher:
    """A channel that we write, segment by segment.

    `on_break` is called with the reason when a segment breaks off, so that its rest is lost, and
    when an outage begins.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        mime_type: str,
        on_break: Callable[[str], None],
    ) -> None:
        self.closed = False  # the server has refused a request because the channel is gone
        self._http = http
        self._url = url.rstrip("/")
        self._mime_type = mime_type
        self._on_break = on_break
        self._index = 0
        self._index_known = False
        self._outage = Outage()
        self._segment: SentSegment | None = None
        self._sending: set[asyncio.Task[bool]] = set()

    @property
    def writing(self) -> bool:
        """A segment is open."""
        return self._segment is not None

    async def begin(self) -> asyncio.Task[bool]:
        """Start a segment as soon as the server can be reached; return the task that sends it.

        The task's result is True if the server has received the whole segment.

        Raises ChannelClosedError, and ChannelLostError.
        """
        while True:
            if sending := await self.try_begin():
                return sending
            await asyncio.sleep(RETRY_SECONDS)

    async def try_begin(self) -> asyncio.Task[bool] | None:
        """Try once: None if the server can't be reached. Ends the previous segment first."""
        await self.end()
        if self.closed:
            raise ChannelClosedError
        headers = {"Content-Type": self._mime_type}
        if not self._index_known:
            if not await self._find_index():
                return None
            headers["Lp-Trickle-Reset"] = "1"  # wakes readers of a segment that was left open
        self._segment = SentSegment()
        sending = asyncio.create_task(self._send(self._segment, self._index, headers))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        self._index += 1
        return sending

    async def write(self, data: bytes) -> bool:
        """False when no segment is open, or its rest is lost. Raises ChannelClosedError."""
        if self._segment and not await self._segment.put(data):
            self._segment = None
        if self.closed:
            raise ChannelClosedError
        return self.writing

    async def end(self) -> None:
        segment, self._segment = self._segment, None
        if segment:
            await segment.put(None)

    async def publish(self, data: bytes) -> bool:
        """Send one whole segment, with a second try; False when it is lost.

        Raises ChannelClosedError, and ChannelLostError.
        """
        for _ in range(2):
            sending = await self.begin()
            await self.write(data)
            await self.end()
            # A cancellation must end this wait, but not the sending.
            await asyncio.wait([sending])
            if self.closed:
                raise ChannelClosedError
            if sending.result():
                return True
        return False

    async def keep_alive(self) -> None:
        """Send an empty segment: without one for 5 minutes a channel is deleted."""
        if await self.try_begin():
            await self.end()

    async def close_channel(self) -> None:
        """Close the channel for all its readers and writers, once the last segment has been sent.

        A cancellation ends the wait, but the channel is still closed.
        """
        try:
            await self.end()
            if self._sending:
                await asyncio.wait(self._sending, timeout=DELIVER_SECONDS)
            if not self.closed:
                await asyncio.sleep(LINGER_SECONDS)
        finally:
            for sending in self._sending:
                sending.cancel()
            await self._delete("")

    async def _find_index(self) -> bool:
        """Find a number that no writer has used; False when the server can't be reached.

        Raises ChannelClosedError, and ChannelLostError.
        """
        try:
            async with (
                asyncio.timeout(ASK_SECONDS),
                self._http.get(f"{self._url}/next") as response,
            ):
                if response.status == 404:
                    self.closed = True
                    raise ChannelClosedError
                self._index = max(self._index, int(response.headers["Lp-Trickle-Latest"]))
        except (*FAILURES, LookupError, ValueError) as error:
            if not self._outage.active:
                self._on_break(type(error).__name__)
            self._outage.record_failure()
            return False
        self._outage.end()
        self._index_known = True
        return True

    async def _send(self, segment: "SentSegment", index: int, headers: dict[str, str]) -> bool:
        """True when the server has received the whole segment."""
        try:
            status, closed = await segment.post(self._http, f"{self._url}/{index}", headers)
            if closed or status == 404:
                self.closed = True
                return False
            if status == 200 and segment.ended:
                self._outage.end()
                return True
            reason = f"the server answers {status}"
        except FAILURES as error:
            reason = type(error).__name__
        self._index_known = False
        self._on_break(reason)
        # The server leaves it open, and readers would wait in it for more.
        await self._delete(f"/{index}")
        return False

    async def _delete(self, path: str) -> None:
        with suppress(*FAILURES):
            async with (
                asyncio.timeout(DELETE_SECONDS),
                self._http.delete(f"{self._url}{path}"),
            ):
                pass


class SentSegment:
    """A segment that is being written: a request whose body goes on until None is put."""

    def __init__(self) -> None:
        self.ended = False  # the whole body has been sent
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._deadline: asyncio.Timeout | None = None
        self._over = asyncio.Event()

    async def post(
        self, http: aiohttp.ClientSession, url: str, headers: dict[str, str]
    ) -> tuple[int, bool]:
        """The response's status, and whether it says that the channel is closed.

        It comes at most RESPONSE_SECONDS after the end. Raises FAILURES.
        """
        try:
            async with asyncio.timeout(None) as self._deadline:
                async with http.post(url, headers=headers, data=self._body()) as response:
                    return response.status, "Lp-Trickle-Closed" in response.headers
        finally:
            self._deadline = None
            self._over.set()

    async def put(self, data: bytes | None) -> bool:
        """False when the request is over, or given up because it took nothing for WRITE_SECONDS."""
        if self._over.is_set():
            return False
        with suppress(asyncio.QueueFull):
            self._chunks.put_nowait(data)
            return True
        putting = asyncio.create_task(self._chunks.put(data))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait(
                [putting, over], timeout=WRITE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            return putting.done()
        finally:
            if not putting.done():
                self._expire_after(0)
            putting.cancel()
            over.cancel()

    async def _body(self) -> AsyncIterator[bytes]:
        while data := await self._chunks.get():
            yield data
        self.ended = True
        self._expire_after(RESPONSE_SECONDS)

    def _expire_after(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.reschedule(asyncio.get_running_loop().time() + seconds)
