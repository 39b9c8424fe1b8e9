"""Models for containers under test, which get this file mounted."""

import os
import time
from pathlib import Path
from typing import Any

GATE = Path("/gate")
DEADLINE_SECONDS = 60


def wait_for(name: str) -> None:
    """Until the test makes the file."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (GATE / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.01)


class Gated:
    """Every job waits for the test."""

    def load(self, _weights: Path) -> None:
        if "GATED_LOAD" in os.environ:
            wait_for("load")

    def predict(self, _request: Any) -> Any:
        wait_for("predict")
        return "done"

    def close(self) -> None:
        pass


class Hungry:
    """A job is a number of bytes to fill with something."""

    def load(self, _weights: Path) -> None:
        pass

    def predict(self, request: Any) -> Any:
        return len(b"x" * request.json())

    def close(self) -> None:
        pass
