"""Reading a trickle channel (contract §4.2)."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import aiohttp

from .trickle import ASK_SECONDS, FAILURES, RETRY_SECONDS, Outage, number

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
        self._alive = time.monotonic()
        self._reading = False
        self._outage = Outage()

    async def segments(self) -> AsyncGenerator["Segment"]:
        """From the current one to the end of the channel. Raises ChannelLostError."""
        following = asyncio.create_task(self._next(CURRENT))
        try:
            while segment := await following:
                # Asked for in advance: it is answered with its first byte.
                following = asyncio.create_task(self._next(segment.index + 1))
                self._reading = True
                try:
                    yield segment
                finally:
                    self._reading = False
                    segment.close()
        finally:
            following.cancel()
            for unread in await asyncio.gather(following, return_exceptions=True):
                if isinstance(unread, Segment):
                    unread.close()

    async def ask(self, index: int) -> aiohttp.ClientResponse:
        """The server's answer, as soon as there is one. Raises ChannelLostError."""
        while True:
            try:
                answer = await self._http.get(f"{self._url}/{index}")
                if answer.status in (200, 404, NO_SUCH_SEGMENT):
                    self._outage.over()
                    return answer
                answer.close()
            except aiohttp.SocketTimeoutError:
                # Nobody writes: that is no failure.
                await self._keep_alive()
                continue
            except FAILURES:
                pass
            self._outage.failed()
            await asyncio.sleep(RETRY_SECONDS)

    async def _next(self, index: int) -> "Segment | None":
        """This one, or the newest where it is kept no more; None at the end of the channel."""
        while True:
            answer = await self.ask(index)
            if answer.status == 200 and "Lp-Trickle-Closed" not in answer.headers:
                self._alive = time.monotonic()
                return Segment(self, number(answer, "Lp-Trickle-Seq", index), answer)
            answer.close()
            if answer.status != NO_SUCH_SEGMENT:
                return None
            latest = number(answer, "Lp-Trickle-Latest", index)
            if latest <= index:
                await asyncio.sleep(RETRY_SECONDS)
            index = latest

    async def _keep_alive(self) -> None:
        """End a segment once more that is over, where none has begun for long.

        A new one would take the number that the writer uses next, and what is written there would
        be ignored (contract §4.1). Only where there is none yet, number 0 is taken: who asks the
        server for the next number loses nothing.
        """
        if self._reading or time.monotonic() - self._alive < self._keep_alive_seconds:
            return
        # Who follows the channel learns of its end; whatever else fails is tried again in time.
        with suppress(*FAILURES, LookupError, ValueError):
            async with asyncio.timeout(ASK_SECONDS):
                async with self._http.get(f"{self._url}/next") as answer:
                    latest = int(answer.headers["Lp-Trickle-Latest"])
                async with self._http.post(f"{self._url}/{max(latest - 1, 0)}"):
                    self._alive = time.monotonic()


class Segment:
    """One of a channel's, as it arrives."""

    def __init__(self, channel: Subscriber, index: int, answer: aiohttp.ClientResponse) -> None:
        self.index = index
        self._channel = channel
        self._answer = answer

    async def chunks(self, most: int = MAX_SEGMENT_BYTES) -> AsyncIterator[bytes]:
        """Its bytes as they come; it is left when it has more than `most`.

        A lost connection costs nothing: the server is asked for the same segment again, and what
        was had of it is skipped. One that breaks off twice at the same byte is left.
        Raises ChannelLostError.
        """
        had, broken_at = 0, -1
        while True:
            skip = had
            with suppress(*FAILURES):
                async for data in self._answer.content.iter_any():
                    new = data[skip:]
                    skip -= len(data) - len(new)
                    had += len(new)
                    if had > most:
                        return
                    if new:
                        yield new
                return
            if had == broken_at or not await self._resume():
                return
            broken_at = had

    async def read(self, most: int) -> bytes:
        """All of it, or what it has up to `most`. Raises ChannelLostError."""
        return b"".join([data async for data in self.chunks(most)])

    def close(self) -> None:
        self._answer.close()

    async def _resume(self) -> bool:
        """False when the server has it no more."""
        self._answer.close()
        self._answer = answer = await self._channel.ask(self.index)
        return answer.status == 200 and number(answer, "Lp-Trickle-Seq", -1) == self.index
