"""A model that misbehaves on request: a session's parameters name what to `do` with each frame."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from mischief import Mischief, mark
from my_model.runtime.interface.live import (
    InvalidRequestError,
    Params,
    Picture,
    Session,
)


class Chaos(Mischief):
    """CHAOS_OPEN names what `open` does."""

    def open(self, session: Session) -> "ChaosStream":
        getattr(self, os.environ.get("CHAOS_OPEN", "nothing"))({})
        return ChaosStream(self, session)


class ChaosStream:
    """`do` names a method of this class or of Mischief; a picture that it returns is sent."""

    def __init__(self, model: Chaos, session: Session) -> None:
        self._model = model
        self._session = session
        self._frames = 0

    def update_params(self, params: Params) -> Params:
        if params.get("stumble"):
            raise KeyError("a detail that is not for the caller")
        if params.get("refuse"):
            time.sleep(params.get("seconds", 0))
            raise InvalidRequestError("refuse: must not be set", "refuse")
        if "repeat" in params:
            self._model.repeat({"text": params["repeat"]})
        if params.get("abort"):
            os.abort()
        return params

    def process_frame(self, frame: Picture, params: Params) -> Any:
        self._frames += 1
        if "mark" in params:
            mark(params["mark"])
        do = params.get("do", "echo")
        if hasattr(self, do):
            return getattr(self, do)(frame, params)
        getattr(self._model, do)(params)
        return frame

    def close(self) -> None:
        if "CHAOS_FREED" in os.environ:
            mark(os.environ["CHAOS_FREED"])

    def echo(self, frame: Picture, params: Params) -> Picture:
        return frame

    def invert(self, frame: Picture, params: Params) -> Picture:
        return 255 - frame

    def half(self, frame: Picture, params: Params) -> Picture:
        return frame[::2, ::2]

    def wide(self, frame: Picture, params: Params) -> Picture:
        """Wider than encoders take."""
        return np.zeros((2, 40_000, 3), np.uint8)

    def drop_odd(self, frame: Picture, params: Params) -> Picture | None:
        return None if self._frames % 2 else frame

    def count(self, frame: Picture, params: Params) -> Picture:
        """State of the session's own: how many frames it has seen, as data and as an event."""
        self._session.emit_data({"frames": self._frames})
        self._session.emit_event({"type": "counted", "frames": self._frames})
        return frame

    def once(self, frame: Picture, params: Params) -> Picture:
        """At the tenth frame, and when no process has done so before: what `then` names."""
        if self._frames == 10 and not Path(params["file"]).exists():
            mark(params["file"])
            getattr(self._model, params["then"])(params)
        return frame

    def noise(self, frame: Picture, params: Params) -> Picture:
        """What no encoder makes small."""
        return np.random.default_rng(self._frames).integers(0, 256, frame.shape, np.uint8)

    def bad_shape(self, frame: Picture, params: Params) -> Any:
        return frame[:, :, 0]

    def bad_type(self, frame: Picture, params: Params) -> Any:
        return frame.astype(np.float32)

    def forge(self, frame: Picture, params: Params) -> Picture:
        self._session.emit_event({"type": "stopped"})
        return frame

    def flood(self, frame: Picture, params: Params) -> Picture:
        """Messages of 64,002 bytes which take twice as much where they are quoted."""
        for _ in range(params["times"]):
            self._session.emit_data('"' * 32_000)
        return frame

    def chatter(self, frame: Picture, params: Params) -> Picture:
        self._session.emit_data("x" * 100_000)
        return frame
