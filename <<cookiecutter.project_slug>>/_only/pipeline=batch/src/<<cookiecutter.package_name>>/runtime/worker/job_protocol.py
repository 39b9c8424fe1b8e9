"""The messages of a slot; bodies and answers lie in its shared memory.

The main process sends a `Dispatch` and the worker replies: with one `answer`, or any number of
`chunk`s and an `end`, or an `error` at any point. After each chunk the worker waits for `NEXT` or
`CANCEL`, because the chunk lies in the slot's only answer buffer until it is copied.
"""

from typing import Literal, NamedTuple

from .protocol import ModelErrorType

NEXT = b"next\n"
CANCEL = b"cancel\n"


class Dispatch(NamedTuple):
    """`size` is that of the body in bytes."""

    size: int
    content_type: str
    session_id: str
    request_id: str


class Reply(NamedTuple):
    """`size` is that of the answer or chunk in bytes."""

    kind: Literal["answer", "chunk", "end", "error"]
    size: int = 0
    content_type: str = ""
    error: ModelErrorType = "model_error"
    message: str = ""
    field: str | None = None
