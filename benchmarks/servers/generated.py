"""The model in a generated container."""

# mypy: disable-error-code="import-not-found"

from pathlib import Path
from typing import Any

from benchmarks.servers.behaviour import act

from my_model.runtime.interface.batch import Binary, Request


class Model:
    MAX_PARALLEL = 1

    def load(self, weights: Path) -> None:
        pass

    def predict(self, request: Request) -> Any:
        if request.content_type == "application/octet-stream":
            return Binary(request.body)
        return act(request.json())

    def close(self) -> None:
        pass
