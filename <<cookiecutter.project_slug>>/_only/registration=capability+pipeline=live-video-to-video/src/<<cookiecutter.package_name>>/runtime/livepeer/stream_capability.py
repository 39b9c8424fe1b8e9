"""A capability whose sessions are live streams."""

from ..settings import ContainerSettings
from .active_registrar import FOREVER
from .capability import CapabilityRegistrar
from .registrar import RegistrarContext


class StreamCapability(CapabilityRegistrar):
    """To refuse new streams it registers a load that leaves no slot free, because streams of an
    unregistered capability can't be changed, stopped or paid for any more
    (byoc/stream_orchestrator.go).

    It does so only once, because another container may have registered the name meanwhile.
    """

    def __init__(self, context: RegistrarContext) -> None:
        super().__init__(context)
        self._full = False

    async def _report(self) -> float:
        if not self._closed:
            return await self._register()
        if self._sessions and not self._full:
            # More than the capacity, because the orchestrator takes one off for each stream's end.
            await self._register(self._settings[ContainerSettings].capacity)
            self._full = True
        return FOREVER
