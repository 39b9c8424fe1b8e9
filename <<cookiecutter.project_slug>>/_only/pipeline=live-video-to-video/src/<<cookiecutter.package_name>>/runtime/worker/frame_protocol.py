"""What goes through a slot for frames: the main process sends a `Task`, the worker one `Reply`.

Pictures lie in the slot's two shared buffers as packed RGB rows, 3 bytes a pixel.
"""

from typing import Literal, NamedTuple

from .protocol import ModelErrorType


class Task(NamedTuple):
    """`params` is a JSON object, `height` and `width` are those of the picture.

    The first `params` of a stream open it. Streams have numbers, because the id of a session that
    has ended may come again.
    """

    kind: Literal["params", "frame", "close"]
    stream: int
    session_id: str
    params: str = ""
    height: int = 0
    width: int = 0


class Reply(NamedTuple):
    """`events` and `data` are JSON texts that the model has emitted."""

    kind: Literal["done", "picture", "dropped", "error"]
    height: int = 0
    width: int = 0
    events: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    error: ModelErrorType = "model_error"
    message: str = ""
    field: str | None = None
