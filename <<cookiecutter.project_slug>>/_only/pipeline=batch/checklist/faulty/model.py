"""The owner's model, which does what the checklist orders before each job."""

import time
from pathlib import Path
from typing import Any

from .orders import LOOK_SECONDS, given, obey, owners_model


class Model:
    def __init__(self) -> None:
        self._model = owners_model()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def load(self, weights: Path) -> None:
        while given("load"):
            time.sleep(LOOK_SECONDS)
        self._model.load(weights)

    def predict(self, request: Any) -> Any:
        if given("echo"):
            return request.json()
        obey()
        return self._model.predict(request)
