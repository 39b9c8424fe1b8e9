"""What the two processes say to each other at the start: one JSON array a line.

The worker gets its `WorkerOptions` on the command line, and says `Ready` once on its control
socket; what then goes over the lanes stands in `exchange`.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter

MAX_LINE_BYTES = 1_048_576
# What a model says of a failed job, which may repeat whatever the caller has sent.
MAX_MESSAGE_CHARACTERS = 2_000
MAX_FIELD_CHARACTERS = 200


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
    """`kind` is the named tuple that was encoded; raises ValueError when it was none."""
    message: M = adapter(kind).validate_json(line, strict=True)
    return message


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def shorten(words: object, length: int = MAX_MESSAGE_CHARACTERS) -> str:
    """As text that can be encoded, of at most `length` characters."""
    text = str(words)[: length + 1].encode(errors="backslashreplace").decode()
    return text if len(text) <= length else text[: length - 1] + "…"
