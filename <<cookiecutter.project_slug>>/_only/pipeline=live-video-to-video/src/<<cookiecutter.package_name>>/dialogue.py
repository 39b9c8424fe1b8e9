"""What a session and its model say to each other beside the frames: parameters, faults, words."""

import json
import time
from collections.abc import Callable
from typing import Any

import structlog

from .engine.exchange import Reply, Task
from .errors import ErrorType, JobError
from .ops.metrics import Metrics
from .stats import Stats
from .voice import Data, Events

NO_PARAMS = "{}"
# A fault that comes with every frame is told once in so long.
REPEAT_SECONDS = 1

log = structlog.get_logger()


class Dialogue:
    """`change` hands the model new parameters, `stop` ends the session."""

    def __init__(
        self,
        session_id: str,
        params: dict[str, Any],
        stats: Stats,
        metrics: Metrics,
        events: Events,
        data: Data,
        change: Callable[[str], None],
        stop: Callable[[str], None],
    ) -> None:
        self.params = params
        self._session_id = session_id
        self._wanted = dict(params)
        self._stats = stats
        self._metrics = metrics
        self._events = events
        self._data = data
        self._change = change
        self._stop = stop
        self._opened = False
        self._lost: tuple[float, int] | None = None
        self._told: dict[ErrorType, float] = {}

    def update(self, params: dict[str, Any]) -> None:
        """Change some parameters; an event tells what the model says of them."""
        self._wanted |= params
        self._change(json.dumps(self._wanted))

    def fail(self, error: JobError) -> None:
        """Count a fault, and tell of it."""
        self._metrics.errors.labels(type=error.type).inc()
        self.failed(error)

    def failed(self, error: JobError) -> None:
        """An event for a fault that has been counted, but not one for every frame."""
        now = time.monotonic()
        if now - self._told.get(error.type, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._told[error.type] = now
            self._tell(error)

    def changed(self, error: JobError) -> None:
        """The input's streams have changed, which has been counted: an event, and the end."""
        self._tell(error)
        self._stop("input_changed")

    def _tell(self, error: JobError) -> None:
        fault = {"type": error.type, "field": error.field, "message": error.message}
        log.warning("session fault", session_id=self._session_id, **fault)
        self._events.tell("error", error=fault)

    def said(self, reply: Reply) -> None:
        for event in reply.events:
            self._events.relay(event)
        for line in reply.data:
            self._data.put(line)

    def accepted(self, task: Task) -> None:
        """The model has taken the parameters: at the start, after a change or after a restart."""
        asked, self.params = self.params, json.loads(task.params)
        if self._lost is not None:
            since, unprocessed = self._lost
            self._lost = None
            self._events.tell(
                "recovered",
                gap_seconds=round(time.monotonic() - since, 3),
                frames_unprocessed=self._stats.unprocessed - unprocessed,
            )
        elif self._opened or self.params != asked:
            self._events.tell("params_updated", params=self.params)
        self._opened = True

    def refused(self, task: Task, error: JobError) -> None:
        """Parameters that the model does not take change nothing; at the start it gets none."""
        self._metrics.errors.labels(type=error.type).inc()
        self._tell(error)
        if not self._opened and task.params != NO_PARAMS:
            self._wanted = {}
            self._change(NO_PARAMS)
        elif not self._opened or self._lost is not None:
            self._stop("failed")
        else:
            self._wanted = dict(self.params)

    def lost(self, loss: JobError) -> None:
        """The model's process is gone, which has been counted, and will be replaced.

        Parameters that it had not taken yet may have killed it, and are not tried again.
        """
        self.failed(loss)
        self._wanted = dict(self.params)
        if not self._opened:
            self._stop("failed")
        if self._lost is None:
            self._lost = time.monotonic(), self._stats.unprocessed
