"""What the two processes say to each other: one JSON array a line; bodies travel in frames.

On its control socket the worker says `Ready` once. On each lane the supervisor sends a `Dispatch`
and the worker answers with `Reply`s: one `answer`, or any number of `chunk`s and an `end`, or an
`error` at any point. After each chunk the worker waits for `NEXT` or `CANCEL`, because the chunk
lies in the lane's only answer buffer until the supervisor has copied it.
"""

import json
from typing import Literal, NamedTuple

from ..errors import ErrorType

NEXT = b"next\n"
CANCEL = b"cancel\n"


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


class Dispatch(NamedTuple):
    size: int
    content_type: str
    session_id: str
    request_id: str


class Reply(NamedTuple):
    kind: Literal["answer", "chunk", "end", "error"]
    size: int = 0
    content_type: str = ""
    error: ErrorType = "internal"
    message: str = ""
    field: str | None = None


def encode(message: WorkerOptions | Ready | Dispatch | Reply) -> bytes:
    return json.dumps(message).encode() + b"\n"


def decode[M: WorkerOptions | Ready | Dispatch | Reply](kind: type[M], line: bytes | str) -> M:
    return kind(*json.loads(line))
