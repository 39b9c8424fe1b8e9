"""Admission of jobs: each is a session, from its admission to the end of its answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import ErrorType, JobError
from ..metrics import FrameMetrics, Metrics
from .admission import Admission, OnChange, Session


class JobSession(Session):
    """`cut` ends it from outside, whatever it is waiting for."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.scope = asyncio.timeout(None)
        self.error: JobError | None = None

    def cut(self, error: JobError) -> None:
        if self.error is None:
            self.error = error
            self.scope.reschedule(asyncio.get_running_loop().time())


class BatchAdmission(Admission[JobSession]):
    def __init__(
        self, capacity: int, metrics: Metrics, frames: FrameMetrics, on_change: OnChange
    ) -> None:
        super().__init__(capacity, metrics, on_change)
        self._latency = frames.latency

    @asynccontextmanager
    async def admit(self, session_id: str) -> AsyncIterator[JobSession]:
        """A session for the length of the block; raises JobError when there is no room."""
        self.require_room()
        session = JobSession(session_id)
        self._enter(session)
        started = time.perf_counter()
        outcome: ErrorType | str = "ok"
        try:
            async with session.scope:
                yield session
        except TimeoutError:
            error = session.error or JobError("internal", "a wait inside the container timed out")
            outcome = error.type
            raise error from None
        except JobError as error:
            outcome = error.type
            raise
        finally:
            self._leave(session, outcome)
            self._latency.observe(1000 * (time.perf_counter() - started))
