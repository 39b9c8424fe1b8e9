"""What the two processes say to each other at the start: one JSON array a line.

The worker gets its `WorkerOptions` on the command line, and says `Ready` once on its control
socket; what then goes over the lanes stands in `exchange`.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

MAX_LINE_BYTES = 1_048_576


class WorkerOptions(NamedTuple):
    """The worker's one command line argument: a process id, an inherited socket, settings."""

    supervisor: int
    control: int
    model: str
    weights_dir: str
    capacity: int
    max_body_bytes: int
    log_format: str
    log_level: str


class Ready(NamedTuple):
    lanes: int
    load_seconds: float


def encode(message: tuple[object, ...]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def decode[M](kind: Callable[..., M], line: bytes | str) -> M:
    """`kind` is the named tuple that was encoded."""
    return kind(*json.loads(line))
