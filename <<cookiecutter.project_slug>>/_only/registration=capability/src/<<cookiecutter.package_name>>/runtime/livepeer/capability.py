"""Registration as a capability, the older way of BYOC (go-livepeer's byoc/job_orchestrator.go)."""

import hashlib
import hmac
import json
from importlib.metadata import metadata
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request

from ..errors import JobError
from ..settings import ContainerSettings
from .active_registrar import ActiveRegistrar
from .capability_settings import CapabilitySettings
from .client import OrchestratorError
from .registrar import RegistrarContext
from .settings import OrchestratorSettings


class CapabilityRegistrar(ActiveRegistrar):
    """Registers the capability at each interval, because nothing else brings it back once the
    orchestrator has dropped it. Each registration sends the number of sessions that the
    orchestrator has not released as `load` (core/external_capabilities.go), because its own count
    drifts.
    """

    def __init__(self, context: RegistrarContext) -> None:
        super().__init__(context)
        self._description = metadata(context.distribution)["Summary"]
        self._may_be_registered = False
        self._secret = ""
        orchestrator = context.settings[OrchestratorSettings]
        if orchestrator.orchestrator_url and orchestrator.orchestrator_secret:
            self._secret = orchestrator.orchestrator_secret.get_secret_value()
            name = context.settings[ContainerSettings].capability_name
            self.token = self.token or derive_token(self._secret, name)

    async def authorize(self, request: Request) -> None:
        """Callers must send the token of the registration. Raises JobError.

        Registers again after a 401, because it makes the orchestrator drop the capability.
        """
        try:
            await super().authorize(request)
        except JobError:
            self.refresh()
            raise

    async def _register(self, extra_load: int = 0) -> float:
        """Return the seconds until the next registration is due. Raises OrchestratorError."""
        orchestrator = self._settings[OrchestratorSettings]
        container = self._settings[ContainerSettings]
        capability = self._settings[CapabilitySettings]
        body: dict[str, Any] = {
            "name": container.capability_name,
            "description": self._description,
            "url": orchestrator.container_url,
            "capacity": container.capacity,
            "price_per_unit": capability.price_per_unit,
            "price_scaling": capability.price_scaling,
            "currency": capability.price_currency,
            "load": len(self._sessions) + self._unreleased + extra_load,
        }
        if self.token:
            body["token"] = self.token.get_secret_value()
        self._may_be_registered = True
        await self._post("/capability/register", json.dumps(body).encode())
        self._confirm(True)
        return orchestrator.registration_interval_seconds

    async def _unregister(self) -> None:
        """The body is the bare name."""
        if self._may_be_registered:
            name = self._settings[ContainerSettings].capability_name
            await self._post("/capability/unregister", name.encode())
            self._may_be_registered = False
        self._confirm(False)

    async def _post(self, path: str, body: bytes) -> None:
        if await self._client.post(path, body, self._secret) != b"ok":
            raise OrchestratorError("invalid", "the orchestrator's answer is not ok")


def derive_token(secret: str, capability: str) -> SecretStr:
    """The same token after every restart, because the orchestrator may still send the last one."""
    message = f"byoc token of {capability}".encode()
    return SecretStr(hmac.new(secret.encode(), message, hashlib.sha256).hexdigest())
