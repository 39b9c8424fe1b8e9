"""A capability whose streams are paid for, changed and stopped through the orchestrator."""

from .capability import Capability
from .keeper import FOREVER
from .ops.metrics import Metrics
from .settings import Settings


class Orchestrator(Capability):
    """Admission is closed by a load that leaves no room, because what is unregistered is neither
    reached nor paid for any more (contract §1.3, §3.4). That is told once: the name may have gone
    over to another container meanwhile.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self._full = False

    async def _tell(self) -> float:
        if not self._closed:
            return await self._register()
        if self._sessions and not self._full:
            # Each stream that ends takes one off.
            await self._register(self._settings.capacity)
            self._full = True
        return FOREVER
