"""Registration by the operator, who gives `runners.json` to the orchestrator
(ai/runner/live_runner.go).
"""

import asyncio
from contextlib import suppress

import structlog

from ..settings import ContainerSettings
from .registrar import Registrar, RegistrarContext

# Longer than the 5 s between two polls of an orchestrator.
POLLED_SECONDS = 6
LOOK_SECONDS = 0.05

log = structlog.get_logger()


class StaticRegistrar(Registrar):
    """Reports nothing, because the orchestrator polls /health.

    The protocol has no token: where none is set, the network decides who may call.
    """

    def __init__(self, context: RegistrarContext) -> None:
        super().__init__(context)
        self._drains = context.settings[ContainerSettings].drain_seconds > 0
        self._polled_status = 0

    def health_polled(self, status: int) -> None:
        self._polled_status = status

    async def withdraw(self) -> None:
        """With a drain, wait for a poll that is not answered 200, because until then the
        orchestrator sends callers here, who get a 502 once the container has stopped.

        Without a poll before, there is no orchestrator to wait for.
        """
        if self._drains and self._polled_status == 200:
            log.info("waiting for a poll of /health", seconds=POLLED_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._polled_unhealthy(), POLLED_SECONDS)

    async def _polled_unhealthy(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._polled_status != 200:
                return
