"""Trickle channels as a session uses them, on the official SDK's publisher and subscriber.

The SDK logs the addresses of channels, which are secrets, so that its log is turned off.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import aiohttp
from livepeer_gateway.segment_reader import SegmentReader
from livepeer_gateway.trickle_publisher import (
    SegmentWriter,
    TricklePublisher,
    TricklePublisherTerminalError,
    TrickleSegmentWriteError,
)
from livepeer_gateway.trickle_subscriber import TrickleSubscriber, TrickleSubscriberStats

CHUNK_BYTES = 65_536
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
# Failures may last so long until a channel is given up; one that is gone ends at once.
LOST_SECONDS = 30
RETRY_SECONDS = 0.5
DELIVER_SECONDS = 1
DELETE_SECONDS = 0.5
TOUCH_SECONDS = 5
# A channel that is closed keeps nothing for readers who have not asked for the last segment yet.
LINGER_SECONDS = 0.3
POLL_SECONDS = 0.02
CURRENT = -2
WITHOUT_END = 10**9

logging.getLogger("livepeer_gateway").setLevel(logging.CRITICAL + 1)


class ChannelClosedError(Exception):
    """The channel is gone, for everybody."""


class ChannelLostError(Exception):
    """The channel could not be reached for LOST_SECONDS."""


class Publisher:
    """One channel that we write, segment by segment."""

    def __init__(self, url: str, mime_type: str) -> None:
        self._publisher = TricklePublisher(url, mime_type, max_consecutive_failures=WITHOUT_END)
        self._writer: SegmentWriter | None = None
        self._reached = time.monotonic()

    @property
    def closed(self) -> bool:
        """The channel is gone: a segment has been refused for that."""
        return bool(self._publisher.get_stats().terminal_error)

    @property
    def writing(self) -> bool:
        """A segment is open."""
        return self._writer is not None

    async def begin(self) -> None:
        """Start a segment, after the end of the one before.

        Raises ChannelClosedError, and ChannelLostError.
        """
        await self.end()
        if not self._publisher.get_stats().consecutive_failures:
            self._reached = time.monotonic()
        elif time.monotonic() - self._reached > LOST_SECONDS:
            raise ChannelLostError
        try:
            self._writer = await self._publisher.next()
        except TricklePublisherTerminalError:
            raise ChannelClosedError from None

    async def write(self, data: bytes) -> bool:
        """False when the rest of the segment is lost. Raises ChannelClosedError."""
        if self._writer is None:
            return False
        try:
            await self._writer.write(data)
        except TricklePublisherTerminalError:
            raise ChannelClosedError from None
        except TrickleSegmentWriteError:
            self._writer = None
            return False
        return True

    async def end(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.close()

    async def publish(self, data: bytes) -> bool:
        """One whole segment, tried twice; False when it is lost. Raises ChannelClosedError."""
        for _ in range(2):
            failed = self._publisher.get_stats().segments_failed
            await self.begin()
            await self.write(data)
            await self.end()
            if not await self._delivered():
                return False
            if self.closed:
                raise ChannelClosedError
            if self._publisher.get_stats().segments_failed == failed:
                return True
        return False

    async def keep_alive(self) -> None:
        """An empty segment: channels without one for 5 minutes are deleted (contract §3.7)."""
        await self.begin()
        await self.end()

    async def close(self) -> None:
        """Close the channel for everybody, once the last segment has got through.

        The SDK's own close cancels requests that are still on their way, asks a server that does
        not answer for minutes, and does nothing where no segment was started. A cancellation ends
        the wait, and nothing more.
        """
        try:
            with suppress(TimeoutError, ChannelClosedError, ChannelLostError):
                async with asyncio.timeout(DELIVER_SECONDS):
                    if not self._publisher.get_stats().segments_started:
                        await self.begin()
                    await self.end()
            await self._delivered()
            if not self.closed:
                await asyncio.sleep(LINGER_SECONDS)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(DELETE_SECONDS):
                    await self._publisher.close()

    async def _delivered(self) -> bool:
        """False when some segments are still on their way after DELIVER_SECONDS."""
        deadline = time.monotonic() + DELIVER_SECONDS
        while time.monotonic() < deadline:
            stats = self._publisher.get_stats()
            if stats.segments_started == stats.segments_completed + stats.segments_failed:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False


async def subscribe(
    url: str, max_bytes: int = MAX_SEGMENT_BYTES, keep_alive_seconds: float | None = None
) -> AsyncGenerator[SegmentReader]:
    """The segments from the current one to the end of the channel.

    Raises ChannelLostError. What the SDK gives up after some tries is tried again. The channel is
    kept alive when no segment begins for `keep_alive_seconds`.
    """
    position = CURRENT
    reached = time.monotonic()
    while True:
        async with TrickleSubscriber(url, start_seq=position, max_bytes=max_bytes) as subscriber:
            missed = 0
            while True:
                next_one = asyncio.ensure_future(subscriber.next())
                try:
                    while not (await asyncio.wait([next_one], timeout=keep_alive_seconds))[0]:
                        await touch(url)
                finally:
                    next_one.cancel()
                if (segment := next_one.result()) is None:
                    break
                missed = misses(subscriber.get_stats())
                position = segment.seq() + 1 if segment.seq() >= 0 else CURRENT
                try:
                    yield segment
                finally:
                    await segment.close()
                reached = time.monotonic()
            stats = subscriber.get_stats()
        if stats.get_404_eos or misses(stats) == missed:
            return
        if time.monotonic() - reached > LOST_SECONDS:
            raise ChannelLostError
        await asyncio.sleep(RETRY_SECONDS)


async def touch(url: str) -> None:
    """Keep a channel alive that somebody else writes, by ending once more a segment that is over.

    A new one would take the number that the writer uses next, and what is written there would be
    ignored (contract §4.1). Only where there is none yet, number 0 is taken: who asks the server
    for the next number loses nothing.
    """
    timeout = aiohttp.ClientTimeout(total=TOUCH_SECONDS)
    # Who follows the channel learns of its end; whatever else fails is tried again in time.
    with suppress(aiohttp.ClientError, TimeoutError, LookupError, ValueError):
        async with aiohttp.ClientSession(url.rstrip("/") + "/", timeout=timeout) as http:
            async with http.get("next", ssl=False) as answer:
                latest = int(answer.headers["Lp-Trickle-Latest"])
            async with http.post(str(max(latest - 1, 0)), ssl=False):
                pass


def misses(stats: TrickleSubscriberStats) -> int:
    """Requests without a segment: those that failed, and 470, as when writers are too fast."""
    return stats.get_failures + stats.get_470_reset


async def chunks(segment: SegmentReader) -> AsyncIterator[bytes]:
    """The segment's bytes as they arrive; it may break off."""
    reader = segment.make_reader()
    with suppress(aiohttp.ClientError, TimeoutError, ValueError):
        while data := await reader.read(CHUNK_BYTES):
            yield data


async def is_gone(url: str, seconds: float) -> bool:
    """True when the channel certainly does not exist any more."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    with suppress(aiohttp.ClientError, TimeoutError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"{url.rstrip('/')}/next", ssl=False) as answer,
        ):
            return answer.status == 404
    return False
