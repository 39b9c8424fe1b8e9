"""Reads a trickle channel, whose server is go-livepeer's trickle/trickle_server.go."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import aiohttp

from .trickle import (
    ASK_SECONDS,
    CONNECT_SECONDS,
    FAILURES,
    RETRY_SECONDS,
    Outage,
    header_number,
)

# A reader that gets no byte for this long asks again, as orchestrators do (trickle_subscriber.go).
SILENT_SECONDS = 20
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
CURRENT = -2
NO_SUCH_SEGMENT = 470


class Subscriber:
    """A channel that somebody else writes.

    It is kept alive when no segment begins for `keep_alive_seconds`, if that is given.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, keep_alive_seconds: float = float("inf")
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._keep_alive_seconds = keep_alive_seconds
        self._kept_alive_at = time.monotonic()
        self._reading = False
        self._outage = Outage()

    async def segments(self) -> AsyncGenerator["ReceivedSegment"]:
        """From the current one to the end of the channel. Raises ChannelLostError."""
        upcoming = asyncio.create_task(self._next(CURRENT))
        try:
            while segment := await upcoming:
                # Requested in advance: the response comes with its first byte.
                upcoming = asyncio.create_task(self._next(segment.index + 1))
                self._reading = True
                try:
                    yield segment
                finally:
                    self._reading = False
                    segment.close()
        finally:
            upcoming.cancel()
            for unread in await asyncio.gather(upcoming, return_exceptions=True):
                if isinstance(unread, ReceivedSegment):
                    unread.close()

    async def request(self, index: int) -> aiohttp.ClientResponse:
        """The server's response to a request for this segment. Raises ChannelLostError."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
        )
        while True:
            try:
                response = await self._http.get(f"{self._url}/{index}", timeout=timeout)
                if response.status in (200, 404, NO_SUCH_SEGMENT):
                    self._outage.end()
                    return response
                response.close()
            except aiohttp.SocketTimeoutError:
                # No writer has sent anything, which is no failure.
                await self._keep_alive(index)
                continue
            except FAILURES:
                pass
            self._outage.record_failure()
            await asyncio.sleep(RETRY_SECONDS)

    async def _next(self, index: int) -> "ReceivedSegment | None":
        """This segment, or the newest one where it is no longer kept; None at the channel's end."""
        while True:
            response = await self.request(index)
            if response.status == 200 and "Lp-Trickle-Closed" not in response.headers:
                self._kept_alive_at = time.monotonic()
                return ReceivedSegment(
                    self, header_number(response, "Lp-Trickle-Seq", index), response
                )
            response.close()
            if response.status != NO_SUCH_SEGMENT:
                return None
            latest = header_number(response, "Lp-Trickle-Latest", index)
            if latest <= index:
                await asyncio.sleep(RETRY_SECONDS)
            index = latest

    async def _keep_alive(self, index: int) -> None:
        """Keep a channel alive that waits for segment `index`: end its last segment once more.

        A new segment would take the number that the writer uses next, and the server would ignore
        what the writer sends there. A channel without a segment gets number 0: a writer that asks
        the server for the next number loses nothing.
        """
        if self._reading or time.monotonic() - self._kept_alive_at < self._keep_alive_seconds:
            return
        # The request for the next segment learns of the channel's end; other failures are retried.
        with suppress(*FAILURES, LookupError, ValueError):
            async with asyncio.timeout(ASK_SECONDS):
                async with self._http.get(f"{self._url}/next") as response:
                    latest = int(response.headers["Lp-Trickle-Latest"])
                if latest != max(index, 0):
                    return  # The last segment has just begun: its writer would lose the rest.
                async with self._http.post(f"{self._url}/{max(latest - 1, 0)}"):
                    self._kept_alive_at = time.monotonic()


class ReceivedSegment:
    """A segment as it arrives."""

    def __init__(self, channel: Subscriber, index: int, response: aiohttp.ClientResponse) -> None:
        self.index = index
        self._channel = channel
        self._response = response

    async def chunks(self, limit: int = MAX_SEGMENT_BYTES) -> AsyncIterator[bytes]:
        """Its bytes as they come; the rest is skipped when it has more than `limit`.

        After a lost connection the same segment is requested again, and the bytes that have come
        are skipped. If it breaks off twice at the same byte, its rest is given up.
        Raises ChannelLostError.
        """
        received, broken_at = 0, -1
        while True:
            skip = received
            with suppress(*FAILURES):
                async for data in self._response.content.iter_any():
                    new = data[skip:]
                    skip -= len(data) - len(new)
                    received += len(new)
                    if received > limit:
                        return
                    if new:
                        yield new
                return
            if received == broken_at or not await self._resume():
                return
            broken_at = received

    async def read(self, limit: int) -> bytes:
        """All of it, or what it has up to `limit`. Raises ChannelLostError."""
        return b"".join([data async for data in self.chunks(limit)])

    def close(self) -> None:
        self._response.close()

    async def _resume(self) -> bool:
        """False when the server does not keep it any more."""
        self._response.close()
        self._response = response = await self._channel.request(self.index)
        return (
            response.status == 200 and header_number(response, "Lp-Trickle-Seq", -1) == self.index
        )
