"""What a session sends: events, one to a segment, lines of data, and media."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from .media.sink import ByteSink
from .publisher import Publisher

MAX_WAITING = 256
# Readers get lines as they come; a segment is what a late reader starts with.
SEGMENT_SECONDS = 10
# Orchestrators delete a channel without a new segment for 5 minutes (trickle/trickle_server.go).
KEEP_ALIVE_SECONDS = 120


class Outbox(ABC):
    """What waits for a channel."""

    @abstractmethod
    async def publish(self, channel: Publisher) -> None:
        """Until the end; raises ChannelClosedError and ChannelLostError."""

    @abstractmethod
    async def discard(self) -> None:
        """Where there is no channel; until the end."""


class Mailbox(Outbox):
    """Messages for a channel that may be slow: the oldest are lost when too many wait."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, text: str) -> None:
        if self._messages.qsize() >= MAX_WAITING:
            self._messages.get_nowait()
            self._on_lost()
        self._messages.put_nowait(text)

    def end(self) -> None:
        """Nothing more comes; what waits is still sent."""
        self._messages.put_nowait(None)

    async def get(self) -> str | None:
        """None at the end."""
        return await self._messages.get()

    async def discard(self) -> None:
        while await self.get() is not None:
            pass


class Events(Mailbox):
    """One JSON object a segment: gateways read nothing else (contract §3.6)."""

    def tell(self, kind: str, *, queue: str = "ai_stream_events", **parts: Any) -> None:
        event = {"type": kind, "timestamp": int(1000 * time.time()), **parts}
        self.put(json.dumps({"queue_event_type": queue, "event": event}))

    def relay(self, event: str) -> None:
        """An event of the model's own, as JSON."""
        self.put(f'{{"queue_event_type": "ai_stream_events", "event": {event}}}')

    async def publish(self, channel: Publisher) -> None:
        while (message := await self.get()) is not None:
            if not await channel.publish(message.encode()):
                self._on_lost()


class Data(Mailbox):
    """JSON lines, which gateways relay one by one (contract §3.6)."""

    async def publish(self, channel: Publisher) -> None:
        begun = spoken = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(SEGMENT_SECONDS):
                    line = await self.get()
            except TimeoutError:
                await channel.end()
                if time.monotonic() - spoken < KEEP_ALIVE_SECONDS:
                    continue
                line = '{"type": "keepalive"}'
            if line is None:
                await channel.end()
                return
            spoken = time.monotonic()
            if spoken - begun > SEGMENT_SECONDS:
                await channel.end()
            while not await channel.write(line.encode() + b"\n"):
                await channel.begin()
                begun = time.monotonic()


class Media(Outbox):
    """Encoded media, whose segments begin with a keyframe; what can't be sent now is lost."""

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
            data, begins = chunk
            # Sound whose pictures have stopped has no keyframe to begin with, and what comes after
            # an empty segment may have none.
            if begins or time.monotonic() - begun > KEEP_ALIVE_SECONDS:
                await channel.try_to_begin()
                begun = time.monotonic()
            await channel.write(data)

    async def discard(self) -> None:
        while await self._sink.get():
            pass
