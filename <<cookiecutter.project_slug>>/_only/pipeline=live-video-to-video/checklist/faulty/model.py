"""The owner's model, which carries out the checklist's orders before each frame."""

from typing import Any

from .orders import FaultyModel, Standin, obey


class Stream(Standin):
    def process_frame(self, frame: Any, params: Any) -> Any:
        obey()
        return self._real.process_frame(frame, params)


class Model(FaultyModel):
    def open(self, session: Any) -> Stream:
        return Stream(self._real.open(session))
