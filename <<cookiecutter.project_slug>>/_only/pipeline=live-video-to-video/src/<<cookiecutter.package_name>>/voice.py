"""What a session says: events, one to a segment, and lines of data."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from .trickle import ChannelClosedError, Publisher

MAX_WAITING = 256
# Readers get lines as they come; a segment is what a late reader starts with.
SEGMENT_SECONDS = 10
CHECK_SECONDS = 1
# Orchestrators delete a channel without a new segment for 5 minutes (trickle/trickle_server.go).
KEEP_ALIVE_SECONDS = 120


class Mailbox(ABC):
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

    @abstractmethod
    async def publish(self, channel: Publisher) -> None:
        """Until the end; raises ChannelClosedError and ChannelLostError."""


class Events(Mailbox):
    """One JSON object a segment: gateways read nothing else (contract §3.6)."""

    def tell(self, kind: str, *, queue: str = "ai_stream_events", **parts: Any) -> None:
        event = {"type": kind, "timestamp": int(1000 * time.time()), **parts}
        self.put(json.dumps({"queue_event_type": queue, "event": event}))

    def relay(self, event: str) -> None:
        """An event of the model's own, as JSON."""
        self.put(f'{{"queue_event_type": "ai_stream_events", "event": {event}}}')

    async def publish(self, channel: Publisher) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    message = await self.get()
            except TimeoutError:
                if channel.closed:
                    raise ChannelClosedError from None
                continue
            if message is None:
                return
            if not await channel.publish(message.encode()):
                self._on_lost()


class Data(Mailbox):
    """JSON lines, which gateways relay one by one (contract §3.6)."""

    async def publish(self, channel: Publisher) -> None:
        segment = kept = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(SEGMENT_SECONDS):
                    line = await self.get()
            except TimeoutError:
                await channel.end()
                if time.monotonic() - kept < KEEP_ALIVE_SECONDS:
                    continue
                line = '{"type": "keepalive"}'
            if line is None:
                await channel.end()
                return
            kept = time.monotonic()
            if not channel.writing or kept - segment > SEGMENT_SECONDS:
                await channel.begin()
                segment = kept
            if not await channel.write(line.encode() + b"\n"):
                self._on_lost()
