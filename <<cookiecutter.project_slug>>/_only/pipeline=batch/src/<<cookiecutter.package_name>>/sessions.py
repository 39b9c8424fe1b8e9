"""Who is in: admission by capacity, and the end of every session."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .errors import ErrorType, JobError
from .ops.metrics import Metrics


class Session:
    """One admitted caller. `cut` ends it from outside, at whatever it is waiting for."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.scope = asyncio.timeout(None)
        self.error: JobError | None = None

    def cut(self, error: JobError) -> None:
        if self.error is None:
            self.error = error
            self.scope.reschedule(asyncio.get_running_loop().time())


class Sessions:
    """At most `capacity` sessions at once, and none once admission is closed.

    `on_change` is called with the ids of those that are open.
    """

    def __init__(
        self, capacity: int, metrics: Metrics, on_change: Callable[[frozenset[str]], None]
    ) -> None:
        self.closed = False
        self._capacity = capacity
        self._metrics = metrics
        self._on_change = on_change
        self._open: set[Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def count(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def admit(self, session_id: str) -> AsyncIterator[Session]:
        """A session for the length of the block; raises JobError when there is no room."""
        if self.closed:
            raise JobError("capacity", "the container is shutting down; try another one")
        if len(self._open) >= self._capacity:
            raise JobError("capacity", f"all {self._capacity} sessions are taken; try again")
        session = Session(session_id)
        self._open.add(session)
        self._changed()
        self._empty.clear()
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
            self._open.discard(session)
            self._changed()
            self._metrics.sessions.labels(outcome=outcome).inc()
            self._metrics.frame_latency.observe(1000 * (time.perf_counter() - started))
            if not self._open:
                self._empty.set()

    def _changed(self) -> None:
        self._metrics.sessions_active.set(len(self._open))
        self._on_change(frozenset(session.id for session in self._open))

    def close(self) -> None:
        """Admit nobody any more; who is in stays in."""
        self.closed = True

    def cut(self, error: JobError) -> None:
        """End all open sessions."""
        for session in self._open:
            session.cut(error)

    async def ended(self) -> None:
        """Wait until no session is open."""
        await self._empty.wait()
