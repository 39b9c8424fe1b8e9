"""A live model that does nothing: what a stream costs without one."""

from pathlib import Path
from typing import Any


class Stream:
    def update_params(self, params: Any) -> None:
        pass

    def process_frame(self, frame: Any, params: None) -> Any:
        return frame

    def close(self) -> None:
        pass


class Model:
    MAX_PARALLEL = 1

    def load(self, weights: Path) -> None:
        pass

    def open(self, session: Any) -> Stream:
        return Stream()

    def close(self) -> None:
        pass
