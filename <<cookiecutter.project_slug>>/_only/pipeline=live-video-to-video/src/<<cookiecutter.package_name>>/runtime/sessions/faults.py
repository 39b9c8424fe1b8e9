"""Reports a session's faults: in the log, and as error events."""

import time

import structlog

from ..errors import ErrorType, JobError
from ..metrics import Metrics
from .events import Events

# A fault that comes with every frame is reported at most this often.
REPEAT_SECONDS = 1

log = structlog.get_logger()


class FaultReporter:
    def __init__(self, session_id: str, metrics: Metrics, events: Events) -> None:
        self._session_id = session_id
        self._metrics = metrics
        self._events = events
        self._reported_at: dict[ErrorType, float] = {}

    def count_and_report(self, error: JobError) -> None:
        self._metrics.count_error(error.type)
        self.report(error)

    def report(self, error: JobError) -> None:
        """Report a fault that has been counted, unless one of its type has just been reported."""
        now = time.monotonic()
        if now - self._reported_at.get(error.type, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._reported_at[error.type] = now
            self.report_always(error)

    def report_always(self, error: JobError) -> None:
        # The session is named because notices come from threads without its log context.
        log.warning("session fault", session_id=self._session_id, **error.details())
        self._events.emit_error(error)
