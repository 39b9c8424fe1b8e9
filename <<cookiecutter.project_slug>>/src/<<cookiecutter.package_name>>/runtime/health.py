"""The container's health: one immutable value, which the lifecycle replaces."""

import time
from enum import StrEnum

from starlette.responses import JSONResponse, Response

STALLED_SECONDS = 30


class Status(StrEnum):
    OK = "ok"
    LOADING = "loading"
    DRAINING = "draining"
    ERROR = "error"


class Health:
    """Written by the main thread, read by any."""

    def __init__(self) -> None:
        self.status = Status.LOADING
        self._beat = time.monotonic()

    def beat(self) -> None:
        """Note that the main loop runs."""
        self._beat = time.monotonic()

    def response(self) -> Response:
        """200 and `{"status": "ok"}` while jobs are served, else 503 and the reason."""
        status = self.status
        return JSONResponse({"status": status}, 200 if status is Status.OK else 503)

    def liveness(self) -> Response:
        """503 once the main loop has not run for STALLED_SECONDS: only a restart heals that."""
        alive = time.monotonic() - self._beat < STALLED_SECONDS
        status = "ok" if alive else "stalled"
        return JSONResponse({"status": status}, 200 if alive else 503)
