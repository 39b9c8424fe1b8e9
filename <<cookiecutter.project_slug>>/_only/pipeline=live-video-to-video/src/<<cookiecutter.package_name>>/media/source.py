"""Received bytes on their way from the event loop to libav, which reads them on a thread."""

import asyncio
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator

from .muxer import PACKET_BYTES

MAX_BYTES = 8 * 1024 * 1024
# The first byte of every packet.
SYNC = b"\x47"
# Of the table that says which programs there are; those say where theirs are (ISO/IEC 13818-1).
PROGRAMS_PID, PROGRAMS_TABLE, PROGRAM_TABLE = 0, 0, 2
STUFFING = b"\xff"
SHORTEST_SECTION = 12
MAX_TABLES = 64
# zlib's checksum is that of the tables, but for the order of the bits.
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
INTACT = 0xFFFF_FFFF


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
        """Nobody reads any more."""
        with self._filled:
            self._chunks.clear()
            self._size = 0
        self.end()

    @property
    def exhausted(self) -> bool:
        return self.ended and not self._chunks

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end; `arrived` tells when the last of them came."""
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


class ProgramMap:
    """What the input's packets say that it holds, again and again; damaged tables say nothing."""

    def __init__(self) -> None:
        self._programs: set[int] = set()
        self._unfinished: dict[int, bytes] = {}
        self._tables: dict[bytes, set[tuple[int, int]]] = {}
        self._types: dict[int, int] = {}

    def changed_by(self, packet: bytes) -> bool:
        """Whether something is gone or another thing now than before; what is added may be."""
        pid = pid_at(packet, 1)
        if pid != PROGRAMS_PID and pid not in self._programs:
            return False
        return any(self._changed_by(pid, section) for section in self._sections(pid, packet))

    def _sections(self, pid: int, packet: bytes) -> Iterator[bytes]:
        """Those that end in this packet."""
        has_payload, has_more, begins = packet[3] & 0x10, packet[3] & 0x20, packet[1] & 0x40
        payload = packet[4 + (1 + packet[4] if has_more else 0) :] if has_payload else b""
        if not payload:
            return
        rest = self._unfinished.pop(pid, b"")
        parts = [rest + payload] if rest else []
        if begins:
            first = 1 + payload[0]
            parts = [rest + payload[1:first]] if rest else []
            parts.append(payload[first:])
        for part in parts:
            rest = part
            while (length := section_length(rest)) <= len(rest):
                yield rest[:length]
                rest = rest[length:]
            self._unfinished[pid] = b"" if rest.startswith(STUFFING) else rest

    def _changed_by(self, pid: int, section: bytes) -> bool:
        if len(section) < SHORTEST_SECTION or zlib.crc32(section.translate(MIRRORED)) != INTACT:
            return False
        table, is_current = section[0], section[5] & 1
        # A table may have several sections, and a place several programs.
        name = pid.to_bytes(2) + section[3:5] + section[6:7]
        before = self._tables.get(name, set())
        if not is_current or (not before and len(self._tables) == MAX_TABLES):
            return False
        if pid == PROGRAMS_PID and table == PROGRAMS_TABLE:
            entries = {
                (int.from_bytes(section[at : at + 2]), pid_at(section, at + 2))
                for at in range(8, len(section) - 7, 4)
            }
            self._programs |= {place for program, place in entries if program}
        elif pid != PROGRAMS_PID and table == PROGRAM_TABLE:
            entries = set(streams(section))
            if any(self._types.setdefault(stream, kind) != kind for stream, kind in entries):
                return True
        else:
            return False
        self._tables[name] = entries
        return not before <= entries


def section_length(data: bytes) -> int:
    """Of the one that begins here; more than there is when that can't be told, or nothing does."""
    if len(data) < 3 or data.startswith(STUFFING):
        return len(data) + 1
    return 3 + length_at(data, 1)


def pid_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2]) & 0x1FFF


def length_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2]) & 0x0FFF


def streams(section: bytes) -> Iterator[tuple[int, int]]:
    """The place and the type of each, from a program's table."""
    at, end = 12 + length_at(section, 10), len(section) - 4
    while at + 5 <= end:
        yield pid_at(section, at + 1), section[at]
        at += 5 + length_at(section, at + 3)


class PacketReader:
    """A source as libav reads it, which skips what is no MPEG-TS: `skipped` is called then.

    It ends where the program map changes: libav would go on with each stream in the other's place.
    """

    def __init__(self, source: ByteSource, skipped: Callable[[], None]) -> None:
        self.changed = False
        self._source = source
        self._skipped = skipped
        self._next: int | None = 0
        self._begun = b""
        self._map = ProgramMap()

    def restart(self) -> None:
        """What comes now is read anew, whatever was there before."""
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
