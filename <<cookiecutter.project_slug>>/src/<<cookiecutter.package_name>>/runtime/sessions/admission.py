"""Which sessions are open: admission by capacity, and the end of all of them."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable

from ..errors import JobError
from ..metrics import Metrics
from .metrics import SessionMetrics

# Names of sessions and requests that are fit for logs and headers.
IDENTIFIER = re.compile(r"[\w.:-]{1,128}", re.ASCII)

# The ids of the open sessions, and how many have ended that the orchestrator still counts.
type OnChange = Callable[[frozenset[str], int], None]


class Session(ABC):
    """One admitted caller."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id

    @abstractmethod
    def cut(self, error: JobError) -> None:
        """End at once, and tell the caller why."""


class Admission[S: Session]:
    """At most `capacity` sessions at once, and none once admission is closed.

    `lossless` is False once a session that was to end was cut before all of its output was out.
    """

    def __init__(self, capacity: int, metrics: Metrics, on_change: OnChange) -> None:
        self.closed = False
        self.lossless = True
        self._capacity = capacity
        self._metrics = SessionMetrics(metrics.registry)
        self._on_change = on_change
        self._open: list[S] = []  # in the order of their start
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def count(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        return len(self._open) >= self._capacity

    @property
    def unreleased(self) -> int:
        """Sessions that have ended, but which the orchestrator still counts."""
        return 0

    def require_room(self) -> None:
        """Raises JobError when no session is admitted now."""
        if self.closed:
            raise JobError("capacity", "the container is shutting down; try another one")
        if self.full:
            raise JobError("capacity", f"all {self._capacity} sessions are taken; try again")

    def refuse_new(self) -> None:
        """Admit no more sessions; open ones go on."""
        self.closed = True

    def stop(self) -> None:
        """Have those sessions end that would not end by themselves, with what they accepted."""

    def cut(self, error: JobError) -> None:
        """End all open sessions at once, and tell their callers why."""
        for session in list(self._open):
            session.cut(error)

    def released(self, session_id: str) -> None:
        """The orchestrator does not count this session any more."""

    async def ended(self) -> None:
        """Wait until no session is open."""
        await self._empty.wait()

    def _enter(self, session: S) -> None:
        self._open.append(session)
        self._empty.clear()
        self._changed()

    def _leave(self, session: S, outcome: str) -> None:
        self._open.remove(session)
        self._changed()
        self._metrics.ended.labels(outcome=outcome).inc()
        if not self._open:
            self._empty.set()

    def _changed(self) -> None:
        self._metrics.active.set(len(self._open))
        self._on_change(frozenset(session.id for session in self._open), self.unreleased)
