"""A capability whose sessions are jobs."""

from .active_registrar import FOREVER
from .capability import CapabilityRegistrar


class JobCapability(CapabilityRegistrar):
    """Unregisters to refuse new jobs, because open ones are relayed all the same."""

    async def _report(self) -> float:
        if self._closed:
            await self._unregister()
            return FOREVER
        return await self._register()
