"""Nobody is told anything: the operator has given the orchestrator `runners.json`, and it polls
`/health` (contract §5.1).
"""

import asyncio
from contextlib import suppress

import structlog
from starlette.requests import Request

from .auth import REFUSED, require_token
from .ops.metrics import Metrics
from .settings import Settings

# Polls are 5 s apart.
POLLED_SECONDS = 6
LOOK_SECONDS = 0.05

log = structlog.get_logger()


class Orchestrator:
    """Closes admission by refusals alone: the operator lowers the capacity beforehand."""

    refusals = REFUSED

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.token = settings.auth_token
        self._drains = settings.drain_seconds > 0
        self._told = 0

    async def authorize(self, request: Request) -> None:
        """The protocol has no token: where none is set, the network decides who may call.

        Raises JobError.
        """
        require_token(request, self.token)

    def announce(self) -> None:
        pass

    def follow(self, sessions: frozenset[str], unreleased: int = 0) -> None:
        pass

    def close_admission(self) -> None:
        pass

    def refresh(self) -> None:
        pass

    def polled(self, status: int) -> None:
        """Somebody has been told so."""
        self._told = status

    async def withdraw(self) -> None:
        """With a drain, stay for the poll that sees it: until then callers are sent here, and get a
        502 if nobody is. Who has never polled is not waited for.
        """
        if self._drains and self._told == 200:
            log.info("waiting for a poll of /health", seconds=POLLED_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._seen(), POLLED_SECONDS)

    async def _seen(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._told != 200:
                return

    async def run(self) -> None:
        pass
