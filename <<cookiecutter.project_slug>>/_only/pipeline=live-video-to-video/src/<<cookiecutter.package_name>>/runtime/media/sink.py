"""Encoded bytes on their way from the encoder's thread to the event loop, which publishes them."""

import asyncio
import threading
from collections import deque

from .muxer import Chunk

MAX_BYTES = 1024 * 1024


class ByteSink:
    """At most MAX_BYTES and one more chunk wait here; the encoder waits while it is full."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._ended = False
        self._room = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()

    def put(self, chunk: Chunk) -> None:
        """Waits while the sink is full."""
        with self._room:
            while self._size > MAX_BYTES and not self._ended:
                self._room.wait()
            if not self._ended:
                self._chunks.append(chunk)
                self._size += len(chunk.data)
        self._loop.call_soon_threadsafe(self._filled.set)

    def end(self) -> None:
        """Nothing more comes; what waits is still taken."""
        with self._room:
            self._ended = True
            self._room.notify_all()
        self._loop.call_soon_threadsafe(self._filled.set)

    def cut(self) -> None:
        """Drop what waits, because nobody takes it any more."""
        with self._room:
            self._chunks.clear()
            self._size = 0
        self.end()

    async def get(self) -> Chunk | None:
        """The next chunk; None at the end."""
        while True:
            with self._room:
                if self._chunks:
                    chunk = self._chunks.popleft()
                    self._size -= len(chunk.data)
                    self._room.notify()
                    return chunk
                if self._ended:
                    return None
                self._filled.clear()
            await self._filled.wait()
