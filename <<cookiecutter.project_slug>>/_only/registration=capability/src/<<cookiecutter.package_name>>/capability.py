"""A capability of the older BYOC door, registered again and again (contract §1)."""

import hashlib
import hmac
import json
from importlib.metadata import metadata
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request

from .auth import REFUSED, require_token
from .errors import JobError
from .keeper import Keeper
from .ops.metrics import Metrics
from .settings import Settings
from .upstream import UpstreamError

DISTRIBUTION = "<<cookiecutter.project_slug>>"


class Capability(Keeper):
    """Registering again brings back what the orchestrator has dropped, and with the number of
    sessions that it has not released as `load` the slots that it has lost count of (contract §1.5).
    """

    refusals = REFUSED

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self._description = metadata(DISTRIBUTION)["Summary"]
        self._secret = ""
        self.token = settings.auth_token
        self._tried = False
        if settings.orchestrator_url and settings.orchestrator_secret:
            self._secret = settings.orchestrator_secret.get_secret_value()
            self.token = self.token or derive_token(self._secret, settings.capability_name)

    async def authorize(self, request: Request) -> None:
        """Callers carry the token of the registration. Raises JobError.

        A 401 makes the orchestrator drop us, so that it hears from us at once (contract §1.4).
        """
        try:
            require_token(request, self.token)
        except JobError:
            self.refresh()
            raise

    async def _register(self, more: int = 0) -> float:
        """With so many more as `load`; the seconds until it has to be done again.

        Raises UpstreamError.
        """
        settings = self._settings
        body: dict[str, Any] = {
            "name": settings.capability_name,
            "description": self._description,
            "url": settings.container_url,
            "capacity": settings.capacity,
            "price_per_unit": settings.price_per_unit,
            "price_scaling": settings.price_scaling,
            "currency": settings.price_currency,
            "load": len(self._sessions) + self._unreleased + more,
        }
        if self.token:
            body["token"] = self.token.get_secret_value()
        self._tried = True
        await self._post("/capability/register", json.dumps(body).encode())
        self._mark(True)
        return settings.registration_interval_seconds

    async def _retract(self) -> None:
        """The body is the bare name (contract §1.3)."""
        if self._tried:
            await self._post("/capability/unregister", self._settings.capability_name.encode())
            self._tried = False
        self._mark(False)

    async def _post(self, path: str, body: bytes) -> None:
        if await self._upstream.post(path, body, self._secret) != b"ok":
            raise UpstreamError("invalid", "the orchestrator's answer is not ok")


def derive_token(secret: str, capability: str) -> SecretStr:
    """The same after every restart, so that no call of the orchestrator's meets another one."""
    words = f"byoc token of {capability}".encode()
    return SecretStr(hmac.new(secret.encode(), words, hashlib.sha256).hexdigest())
