"""The model: the file to edit.

The container runs one `Model` in a process of its own: `load` once, `open` for each session,
`close` before a clean exit. A crash, a hang or an endless loop in here costs some frames, not the
sessions.

The example inverts the colors of a video, and sends the brightness of every 30th frame as data.
"""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from .runtime.interface.live import Params, Picture, Session, parse

MEASURED_FRAMES = 30


class Look(BaseModel, extra="forbid"):
    """`invert` makes a negative; `gain` makes all colors brighter or darker."""

    invert: bool = True
    gain: float = Field(default=1, ge=0, le=4)


class Stream:
    """One session: its state lives as long as the session does."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._frames = 0

    def update_params(self, params: Params) -> Look:
        """All parameters, at the start and whenever one changes.

        What is returned is given to `process_frame`. Raise InvalidRequestError, as `parse` does,
        and the parameters stay as they are.
        """
        return parse(Look, params)

    def process_frame(self, frame: Picture, params: Look) -> Picture | None:
        """A frame in, uint8 of (height, width, 3), RGB; one of any size out, None to drop it."""
        if self._frames % MEASURED_FRAMES == 0:
            self._session.emit_data({"frame": self._frames, "brightness": float(frame.mean())})
        self._frames += 1
        picture = 255 - frame if params.invert else frame
        if params.gain != 1:
            picture = np.clip(picture * np.float32(params.gain), 0, 255).astype(np.uint8)
        return picture

    def close(self) -> None:
        """The session has ended: give back what it took."""


class Model:
    MAX_PARALLEL = 1

    def load(self, weights: Path) -> None:
        """Read the weights and warm up; `weights` is the folder BYOC_WEIGHTS_DIR names."""

    def open(self, session: Session) -> Stream:
        """The state of a new session, and of every session again after a restart."""
        return Stream(session)

    def close(self) -> None:
        """Give back what `load` took."""
