"""What a model of live video sees of the container."""

import json
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from . import InvalidRequestError as InvalidRequestError
from . import Json as Json
from . import ModelProtocol, validate
from .own_events import OWN_EVENTS

type Params = dict[str, Any]
type Picture = NDArray[np.uint8]

# Gateways relay data line by line and stumble over a line of 65,536 bytes (media/segment_rw.go).
MAX_MESSAGE_BYTES = 65_000
MAX_MESSAGES = 100
# All messages of one call are one JSON line in the slot, where escaping may double their size.
MAX_CALL_BYTES = 500_000


def parse[M: BaseModel](kind: type[M], params: Params) -> M:
    """Parameters of this kind; raises InvalidRequestError naming the first bad field."""
    return validate(kind.model_validate, params, "params")


class Session:
    """One caller's stream, as its model sees it.

    Emitted events and data are sent with the reply to the current call of the model.
    """

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.events: list[str] = []
        self.data: list[str] = []

    def emit_event(self, event: Params) -> None:
        """An event of the model's own: JSON, not too long, with a `type`; raises ValueError."""
        if not isinstance(event.get("type"), str) or event["type"] in OWN_EVENTS:
            raise ValueError(f"an event needs a type of its own, not {event.get('type')!r}")
        self._emit(self.events, event)

    def emit_data(self, data: Json) -> None:
        """One line of the data channel; raises ValueError when it is too long or no JSON."""
        self._emit(self.data, data)

    def _emit(self, messages: list[str], message: Json) -> None:
        try:
            text = json.dumps(message, allow_nan=False, separators=(",", ":"))
        except TypeError as error:
            raise ValueError(f"a message is no JSON: {error}") from None
        if len(text) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(text)} bytes is over {MAX_MESSAGE_BYTES}")
        if len(messages) == MAX_MESSAGES:
            raise ValueError(f"more than {MAX_MESSAGES} messages in one call")
        if len(text) + sum(map(len, (*self.events, *self.data))) > MAX_CALL_BYTES:
            raise ValueError(f"more than {MAX_CALL_BYTES} bytes of messages in one call")
        messages.append(text)


class StreamProtocol[P](Protocol):
    """The state of one session, used by one thread at a time."""

    def update_params(self, params: Params) -> P:
        """All parameters as the caller set them; returns them as `process_frame` wants them."""

    def process_frame(self, frame: Picture, params: P) -> Picture | None:
        """(height, width, 3) RGB in, read-only, valid during the call; any size out, None drops."""

    def close(self) -> None: ...


class LiveModel(ModelProtocol, Protocol):
    """`MAX_PARALLEL` is how many sessions may be served at once; 1 unless the model says so."""

    def open(self, session: Session) -> StreamProtocol[Any]: ...
