"""Received bytes on their way from the event loop to libav, which reads them on a thread."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

from .muxer import PACKET_BYTES
from .program_map import ProgramMap

MAX_BYTES = 8 * 1024 * 1024
# The first byte of every packet.
SYNC = b"\x47"


class ByteSource:
    """At most MAX_BYTES and one more chunk wait here."""

    def __init__(self) -> None:
        self.arrived = time.monotonic()
        self.ended = False
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._filled = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, data: bytes) -> None:
        """Waits while the reader is far behind."""
        await self._room.wait()
        with self._filled:
            self._chunks.append((time.monotonic(), data))
            self._size += len(data)
            if self._size > MAX_BYTES:
                self._room.clear()
            self._filled.notify()

    def end(self) -> None:
        """Nothing more comes; what waits is still read."""
        with self._filled:
            self.ended = True
            self._filled.notify()
        self._room.set()

    def cut(self) -> None:
        """Drop what waits, because nobody reads it any more."""
        with self._filled:
            self._chunks.clear()
            self._size = 0
        self.end()

    @property
    def exhausted(self) -> bool:
        return self.ended and not self._chunks

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end; `arrived` is when the last of them came."""
        with self._filled:
            while not self._chunks and not self.ended:
                self._filled.wait()
            if not self._chunks:
                return b""
            self.arrived, data = self._chunks.popleft()
            if len(data) > size:
                self._chunks.appendleft((self.arrived, data[size:]))
                data = data[:size]
            self._size -= len(data)
            if self._size <= MAX_BYTES and not self._room.is_set():
                self._loop.call_soon_threadsafe(self._room.set)
        return data


class PacketReader:
    """Reads a source for libav; skips bytes that are not MPEG-TS, and calls `skipped` then.

    It ends where the program map changes, because libav would mistake one stream for another.
    """

    def __init__(self, source: ByteSource, skipped: Callable[[], None]) -> None:
        self.changed = False
        self._source = source
        self._skipped = skipped
        self._next: int | None = 0
        self._begun = b""
        self._map = ProgramMap()

    def restart(self) -> None:
        """Forget the program map that has been read so far."""
        self._map = ProgramMap()

    def read(self, size: int) -> bytes:
        data = b"" if self.changed else self._source.read(size)
        if self._next is not None and not in_packets(data, self._next):
            self._skipped()
            self._next = None
            self._begun = b""
        if self._next is None and len(data) > 2 * PACKET_BYTES:
            starts = (start for start in range(PACKET_BYTES) if in_packets(data, start))
            self._next = next(starts, None)
        if self._next is not None:
            data = self._unchanged(data, self._next)
            self._next = (self._next - len(data)) % PACKET_BYTES
        return data

    def _unchanged(self, data: bytes, start: int) -> bytes:
        """What comes before a change."""
        whole = self._begun + data
        at = 0 if self._begun else start
        while at + PACKET_BYTES <= len(whole):
            if self._map.changed_by(whole[at : at + PACKET_BYTES]):
                self.changed = True
                return data[: max(0, at - len(self._begun))]
            at += PACKET_BYTES
        self._begun = whole[at:]
        return data


def in_packets(data: bytes, start: int) -> bool:
    """Whether packets start there and wherever the one before ends."""
    return not data[start::PACKET_BYTES].strip(SYNC)
