"""The messages that the two processes exchange at the start: one JSON array a line.

The worker gets its `WorkerOptions` on the command line, and sends `Ready` once on its control
socket. What goes through a slot is another protocol, of frames or of jobs.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

MAX_LINE_BYTES = 1_048_576
# Of a model's error message, which may quote what the caller has sent.
MAX_MESSAGE_CHARACTERS = 2_000
MAX_FIELD_CHARACTERS = 200

# Of the types of errors, those that a model can cause and survive.
type ModelErrorType = Literal["bad_request", "model_error", "out_of_memory"]


class WorkerOptions(NamedTuple):
    """The worker's one command line argument.

    `supervisor` is a process id, `control` an inherited socket; `executor` and `model` name classes
    as `module:Class`.
    """

    supervisor: int
    control: int
    executor: str
    model: str
    weights_dir: str
    capacity: int
    max_body_bytes: int
    log_format: str
    log_level: str


class Ready(NamedTuple):
    slots: int
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
