"""A session's parameters: those that its caller wants, and those that the model has accepted."""

import json
import time
from typing import Any, NamedTuple

NO_PARAMS = "{}"


class Recovery(NamedTuple):
    """How long no worker had the session, and how many frames went out unprocessed meanwhile."""

    gap_seconds: float
    frames_unprocessed: int


class Reaction(NamedTuple):
    """What the session does next: emit events, send parameters to the model, or fail."""

    recovered: Recovery | None = None
    updated: bool = False
    params: str | None = None
    failed: bool = False


class WorkerLoss(NamedTuple):
    """When the worker was lost, and how many frames had gone out unprocessed until then."""

    since: float
    unprocessed: int


class ParamsState:
    """Decides what follows from each answer of the model, and does nothing by itself.

    `current` are the parameters that the model works with; until it has accepted any, the caller's.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        self.current = params
        self._wanted = dict(params)
        self._opened = False
        self._loss: WorkerLoss | None = None

    def merge(self, params: dict[str, Any]) -> str:
        """The caller changes some; returns all parameters for the model, as JSON."""
        self._wanted |= params
        return json.dumps(self._wanted)

    def accept(self, params: str, unprocessed: int) -> Reaction:
        """The model has accepted them: at the start, after a change or after a restart.

        `unprocessed` is how many frames have gone out unprocessed so far.
        """
        before, self.current = self.current, json.loads(params)
        opened, self._opened = self._opened, True
        loss, self._loss = self._loss, None
        if loss is not None:
            gap_seconds = round(time.monotonic() - loss.since, 3)
            return Reaction(recovered=Recovery(gap_seconds, unprocessed - loss.unprocessed))
        return Reaction(updated=opened or self.current != before)

    def refuse(self, params: str) -> Reaction:
        """The model has refused them, which changes nothing; at the start it gets none instead."""
        if not self._opened and params != NO_PARAMS:
            self._wanted = {}
            return Reaction(params=NO_PARAMS)
        if not self._opened or self._loss is not None:
            return Reaction(failed=True)
        self._wanted = dict(self.current)
        return Reaction()

    def lose_worker(self, unprocessed: int) -> Reaction:
        """The model's process is lost, and will be replaced.

        Parameters that it had not accepted yet are not tried again, because they may have killed
        it.
        """
        self._wanted = dict(self.current)
        if self._loss is None:
            self._loss = WorkerLoss(time.monotonic(), unprocessed)
        return Reaction(failed=not self._opened)
