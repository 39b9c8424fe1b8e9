"""What waits to be sent on a session's channels: messages, lines of data, and media."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from ..livepeer.publisher import Publisher
from ..media.sink import ByteSink

MAX_WAITING = 256
# Readers get lines as they come; a segment is what a late reader starts with.
SEGMENT_SECONDS = 10
# Orchestrators delete a channel without a new segment for 5 minutes (trickle/trickle_server.go).
KEEP_ALIVE_SECONDS = 120


class Outbox(ABC):
    """What waits to be sent on a channel."""

    channel_name: ClassVar[str]
    mime_type: ClassVar[str]

    @abstractmethod
    async def publish(self, channel: Publisher) -> None:
        """Send until the end. Raises ChannelClosedError and ChannelLostError."""

    @abstractmethod
    async def discard(self) -> None:
        """Drop everything until the end, because there is no channel."""


class MessageOutbox(Outbox):
    """Messages for a channel that may be slow: the oldest are dropped when too many wait."""

    def __init__(self, on_drop: Callable[[], None]) -> None:
        self._on_drop = on_drop
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, text: str) -> None:
        if self._messages.qsize() >= MAX_WAITING:
            self._messages.get_nowait()
            self._on_drop()
        self._messages.put_nowait(text)

    def end(self) -> None:
        """Nothing more is put; what waits is still sent."""
        self._messages.put_nowait(None)

    async def get(self) -> str | None:
        """The next message; None at the end."""
        return await self._messages.get()

    async def discard(self) -> None:
        while await self.get() is not None:
            pass


class DataOutbox(MessageOutbox):
    """JSON lines, which gateways relay one by one (byoc/trickle.go)."""

    channel_name = "data"
    mime_type = "application/jsonl"

    async def publish(self, channel: Publisher) -> None:
        begun = written = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(SEGMENT_SECONDS):
                    line = await self.get()
            except TimeoutError:
                await channel.end()
                if time.monotonic() - written < KEEP_ALIVE_SECONDS:
                    continue
                line = '{"type": "keepalive"}'
            if line is None:
                await channel.end()
                return
            written = time.monotonic()
            if written - begun > SEGMENT_SECONDS:
                await channel.end()
            while not await channel.write(line.encode() + b"\n"):
                await channel.begin()
                begun = time.monotonic()


class MediaOutbox(Outbox):
    """Encoded media, whose segments begin with a keyframe; what can't be sent now is dropped."""

    channel_name = "output"
    mime_type = "video/mp2t"

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink

    async def publish(self, channel: Publisher) -> None:
        begun = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    chunk = await self._sink.get()
            except TimeoutError:
                await channel.keep_alive()
                begun = float("-inf")
                continue
            if chunk is None:
                return
            # Audio whose video has stopped has no keyframe to begin a segment with, and neither may
            # the chunk after an empty segment, so begin a segment without one.
            if chunk.begins or time.monotonic() - begun > KEEP_ALIVE_SECONDS:
                await channel.try_begin()
                begun = time.monotonic()
            await channel.write(chunk.data)

    async def discard(self) -> None:
        while await self._sink.get():
            pass
