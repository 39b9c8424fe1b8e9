"""Which streams an MPEG-TS holds, by its tables (ISO/IEC 13818-1, 2.4.4)."""

import zlib
from collections.abc import Iterator

# The first table lists the programs, each with the PID of the table that lists its streams.
PROGRAMS_PID, PROGRAMS_TABLE, PROGRAM_TABLE = 0, 0, 2
STUFFING = b"\xff"
SHORTEST_SECTION = 12
MAX_TABLES = 64
# zlib's checksum is that of the tables, but for the order of the bits.
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
INTACT = 0xFFFF_FFFF


class ProgramMap:
    """What the input holds by its tables, which it repeats; damaged ones are ignored."""

    def __init__(self) -> None:
        self._programs: set[int] = set()
        self._unfinished: dict[int, bytes] = {}
        self._tables: dict[bytes, set[tuple[int, int]]] = {}
        self._types: dict[int, int] = {}

    def changed_by(self, packet: bytes) -> bool:
        """True if a program or stream is gone or has another type; additions do not count."""
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
        # A table may have several sections, and a PID several programs.
        name = pid.to_bytes(2) + section[3:5] + section[6:7]
        before = self._tables.get(name, set())
        if not is_current or (not before and len(self._tables) == MAX_TABLES):
            return False
        if pid == PROGRAMS_PID and table == PROGRAMS_TABLE:
            entries = {
                (int.from_bytes(section[at : at + 2]), pid_at(section, at + 2))
                for at in range(8, len(section) - 7, 4)
            }
            self._programs |= {table_pid for program, table_pid in entries if program}
        elif pid != PROGRAMS_PID and table == PROGRAM_TABLE:
            entries = set(streams(section))
            if any(self._types.setdefault(stream, kind) != kind for stream, kind in entries):
                return True
        else:
            return False
        self._tables[name] = entries
        return not before <= entries


def section_length(data: bytes) -> int:
    """Bytes of the section that begins here; more than `data` has if none does or it is cut off."""
    if len(data) < 3 or data.startswith(STUFFING):
        return len(data) + 1
    return 3 + length_at(data, 1)


def pid_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2]) & 0x1FFF


def length_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2]) & 0x0FFF


def streams(section: bytes) -> Iterator[tuple[int, int]]:
    """The PID and the type of each, from a program's table."""
    at, end = 12 + length_at(section, 10), len(section) - 4
    while at + 5 <= end:
        yield pid_at(section, at + 1), section[at]
        at += 5 + length_at(section, at + 3)
