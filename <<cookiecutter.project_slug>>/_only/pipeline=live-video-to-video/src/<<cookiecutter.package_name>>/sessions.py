"""Who is in: admission by capacity, one session a stream, and the end of every session."""

import asyncio
from collections.abc import Callable

import structlog

from .errors import JobError
from .live import LiveSession
from .ops.metrics import Metrics

# Ends with which the orchestrator counts a session no more.
RELEASED = ("stopped", "released")
MAX_UNRELEASED = 1000
SETTLE_SECONDS = 0.5


class Sessions:
    """At most `capacity` sessions at once, and none once admission is closed.

    `on_change` is called with the ids of those that are open, and the number of those that have
    ended, but which the orchestrator has not released yet.
    """

    def __init__(
        self, capacity: int, metrics: Metrics, on_change: Callable[[frozenset[str], int], None]
    ) -> None:
        self.closed = False
        self.all_whole = True  # none of those that were stopped was cut before all was out
        self._capacity = capacity
        self._metrics = metrics
        self._on_change = on_change
        self._open: dict[str, tuple[LiveSession, asyncio.Task[None]]] = {}
        self._unreleased: dict[str, asyncio.Task[None]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def count(self) -> int:
        return len(self._open)

    def all(self) -> list[LiveSession]:
        return [session for session, _ in self._open.values()]

    def get(self, session_id: str) -> LiveSession | None:
        session, _ = self._open.get(session_id, (None, None))
        return session

    def require_room(self) -> None:
        """Raises JobError when nobody more is admitted."""
        if self.closed:
            raise JobError("capacity", "the container is shutting down; try another one")
        if len(self._open) >= self._capacity:
            raise JobError("capacity", f"all {self._capacity} sessions are taken; try again")

    async def wait_for_room(self, seconds: float) -> None:
        """Where all places are taken, until one that is ending has ended: orchestrators count those
        no more. Raises JobError when nobody more is admitted.
        """
        ending = [task for session, task in self._open.values() if session.stopping]
        if ending and not self.closed and len(self._open) >= self._capacity:
            await asyncio.wait(ending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self.require_room()

    def enter(self, session: LiveSession) -> None:
        """The session lives from now on. Raises JobError when there is no room for it."""
        self.require_room()
        if session.id in self._open:
            raise JobError("bad_request", f"stream {session.id} is running already", status=409)
        self._forget(session.id)
        self._open[session.id] = session, asyncio.create_task(self._host(session))
        self._changed()
        self._empty.clear()

    async def _host(self, session: LiveSession) -> None:
        outcome = "failed"
        try:
            outcome = await session.run()
        finally:
            del self._open[session.id]
            self.all_whole = self.all_whole and session.whole
            if outcome not in RELEASED:
                if len(self._unreleased) == MAX_UNRELEASED:
                    self._forget(next(iter(self._unreleased)))
                self._unreleased[session.id] = asyncio.create_task(self._release(session))
            self._changed()
            self._metrics.sessions.labels(outcome=outcome).inc()
            if not self._open:
                self._empty.set()

    async def _release(self, session: LiveSession) -> None:
        with structlog.contextvars.bound_contextvars(session_id=session.id):
            await session.reservation.release()
        self._forget(session.id)

    def _forget(self, session_id: str) -> None:
        """The orchestrator has released it, if it had not."""
        if task := self._unreleased.pop(session_id, None):
            task.cancel()
            self._changed()

    def _changed(self) -> None:
        self._metrics.sessions_active.set(len(self._open))
        self._on_change(frozenset(self._open), len(self._unreleased))

    def close(self) -> None:
        """Admit nobody any more; who is in stays in."""
        self.closed = True

    def released(self, session_id: str) -> None:
        """The orchestrator counts this one no more."""
        if session := self.get(session_id):
            session.stop("released")
        self._forget(session_id)

    def stop(self) -> None:
        """Have all open sessions end, with what was accepted."""
        self.all_whole = True
        for session in self.all():
            session.stop("shutdown")

    def cut(self, error: JobError) -> None:
        """End all open sessions at once, and tell them why."""
        for session in self.all():
            session.failed(error)
            session.cut()

    async def ended(self) -> None:
        """Wait until no session is open, and a moment more for those that are being given back."""
        await self._empty.wait()
        if self._unreleased:
            await asyncio.wait(self._unreleased.values(), timeout=SETTLE_SECONDS)
