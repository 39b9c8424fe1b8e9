"""The owner's model, which does what the checklist orders before each frame."""

import time
from pathlib import Path
from typing import Any

from .orders import LOOK_SECONDS, given, obey, owners_model


class Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def process_frame(self, frame: Any, params: Any) -> Any:
        obey()
        return self._stream.process_frame(frame, params)


class Model:
    def __init__(self) -> None:
        self._model = owners_model()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def load(self, weights: Path) -> None:
        while given("load"):
            time.sleep(LOOK_SECONDS)
        self._model.load(weights)

    def open(self, session: Any) -> Stream:
        return Stream(self._model.open(session))
