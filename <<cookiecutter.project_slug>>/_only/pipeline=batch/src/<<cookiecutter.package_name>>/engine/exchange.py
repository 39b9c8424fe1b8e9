"""What goes over a lane: words here, bodies in frames.

The supervisor's end sends a `Dispatch` and the worker answers with `Reply`s: one `answer`, or any
number of `chunk`s and an `end`, or an `error` at any point. After each chunk the worker waits for
`NEXT` or `CANCEL`, because the chunk lies in the lane's only answer buffer until it is copied.
"""

from typing import Literal, NamedTuple

# Of the types of errors, those that a model can cause and outlive.
type Fault = Literal["bad_request", "model_error", "out_of_memory"]

NEXT = b"next\n"
CANCEL = b"cancel\n"


class Dispatch(NamedTuple):
    size: int
    content_type: str
    session_id: str
    request_id: str


class Reply(NamedTuple):
    kind: Literal["answer", "chunk", "end", "error"]
    size: int = 0
    content_type: str = ""
    error: Fault = "model_error"
    message: str = ""
    field: str | None = None
