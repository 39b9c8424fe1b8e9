"""Nobody is told anything: the operator has given the orchestrator `runners.json`, and it polls
`/health` (contract §5.1).
"""

from starlette.requests import Request

from .auth import REFUSED, require_token
from .ops.metrics import Metrics
from .settings import Settings


class Orchestrator:
    """Closes admission by refusals alone: the operator lowers the capacity beforehand."""

    refusals = REFUSED

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.token = settings.auth_token

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

    async def withdraw(self) -> None:
        pass

    async def run(self) -> None:
        pass
