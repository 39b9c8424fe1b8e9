"""A capability whose jobs end by themselves."""

from .capability import Capability
from .keeper import FOREVER


class Orchestrator(Capability):
    """Admission is closed by unregistering: jobs in flight are still relayed."""

    async def _tell(self) -> float:
        if self._closed:
            await self._retract()
            return FOREVER
        return await self._register()
