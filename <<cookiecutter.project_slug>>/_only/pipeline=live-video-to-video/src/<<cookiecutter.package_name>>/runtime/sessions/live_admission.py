"""Which live sessions are open, and which have ended without being released."""

import asyncio

import structlog

from ..errors import JobError
from ..metrics import Metrics
from .admission import Admission, OnChange
from .live import LiveSession

# Reasons of an end after which the orchestrator does not count the session any more.
RELEASED = ("stopped", "released")
MAX_UNRELEASED = 1000
SETTLE_SECONDS = 0.5


class LiveAdmission(Admission[LiveSession]):
    """Admits one session a stream, runs it, and has the orchestrator release it at its end."""

    def __init__(self, capacity: int, metrics: Metrics, on_change: OnChange) -> None:
        super().__init__(capacity, metrics, on_change)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._unreleased: dict[str, asyncio.Task[None]] = {}

    @property
    def unreleased(self) -> int:
        return len(self._unreleased)

    def all(self) -> list[LiveSession]:
        return list(self._open)

    def get(self, session_id: str) -> LiveSession | None:
        return next((session for session in self._open if session.id == session_id), None)

    async def wait_for_room(self, seconds: float) -> None:
        """If full, wait up to `seconds` for a session that is already ending, because orchestrators
        no longer count it. Raises JobError when no session is admitted then.
        """
        ending = [self._running[session.id] for session in self._open if session.stopping]
        if ending and not self.closed and self.full:
            await asyncio.wait(ending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self.require_room()

    def enter(self, session: LiveSession) -> None:
        """Run the session from now on. Raises JobError when there is no room for it."""
        self.require_room()
        if session.id in self._running:
            raise JobError("bad_request", f"stream {session.id} is running already", status=409)
        self._forget(session.id)
        self._running[session.id] = asyncio.create_task(self._run(session))
        self._enter(session)

    async def _run(self, session: LiveSession) -> None:
        outcome = "failed"
        try:
            outcome = await session.run()
        finally:
            del self._running[session.id]
            self.lossless = self.lossless and session.lossless
            if outcome not in RELEASED:
                if len(self._unreleased) == MAX_UNRELEASED:
                    self._forget(next(iter(self._unreleased)))
                self._unreleased[session.id] = asyncio.create_task(self._release(session))
            self._leave(session, outcome)

    async def _release(self, session: LiveSession) -> None:
        with structlog.contextvars.bound_contextvars(session_id=session.id):
            await session.reservation.release()
        self._forget(session.id)

    def _forget(self, session_id: str) -> None:
        """Stop waiting for the orchestrator to release the session, and stop counting it."""
        if task := self._unreleased.pop(session_id, None):
            task.cancel()
            self._changed()

    def released(self, session_id: str) -> None:
        if session := self.get(session_id):
            session.stop("released")
        self._forget(session_id)

    def stop(self) -> None:
        self.lossless = True
        for session in self._open:
            session.stop("shutdown")

    async def ended(self) -> None:
        """Wait until no session is open, and a moment more for reservations to be released."""
        await super().ended()
        if self._unreleased:
            await asyncio.wait(self._unreleased.values(), timeout=SETTLE_SECONDS)
