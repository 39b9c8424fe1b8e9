"""A live runner whose every request is a session of its own (contract §5)."""

from starlette.requests import Request

from .auth import REFUSED, require_token
from .heartbeat import Heartbeat
from .keeper import FOREVER, Keeper
from .ops.metrics import Metrics
from .settings import Settings


class Orchestrator(Keeper):
    """Admission is closed by a capacity that is taken already: whatever else would hide the runner
    ends its sessions.
    """

    refusals = REFUSED

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self.token = settings.auth_token
        self._heartbeat = Heartbeat(settings, self._upstream)

    async def authorize(self, request: Request) -> None:
        """The protocol has no token: where none is set, the network decides who may call.

        Raises JobError.
        """
        require_token(request, self.token)

    async def _tell(self) -> float:
        if self._closed and not self._sessions:
            return FOREVER  # only the withdrawal is left
        capacity = len(self._sessions) if self._closed else self._settings.capacity
        standing = await self._heartbeat.beat(capacity, self._sessions)
        if standing is None:
            if self._closed:
                return FOREVER
            self._mark(False)
            standing = await self._heartbeat.register(capacity, self._sessions)
        self._mark(True)
        return standing.due

    async def _retract(self) -> None:
        await self._heartbeat.stop()
        self._mark(False)
