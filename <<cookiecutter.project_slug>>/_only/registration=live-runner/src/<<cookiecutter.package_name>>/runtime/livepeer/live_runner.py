"""Registration as a live runner, by heartbeats (go-livepeer's ai/runner/live_runner.go)."""

import json
import re
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ..settings import ContainerSettings
from .active_registrar import FOREVER, ActiveRegistrar
from .client import OrchestratorClient, OrchestratorError
from .live_runner_settings import LiveRunnerSettings
from .registrar import RegistrarContext
from .settings import OrchestratorSettings

# The units that Go prints durations in.
UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|µs|ns|m|s)")
HEARTBEATS_PER_TTL = 3
# The orchestrator answers 401 after a restart, and 404 shortly before it removes a runner.
UNKNOWN_RUNNER = (401, 404)


def parse_duration(duration: Any) -> float:
    """Seconds of what Go prints, `1m30s` for example."""
    text = str(duration)
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration of Go")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


type Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, le=86_400)]


class Channel(BaseModel):
    url: str
    internal_url: str = ""


class HeartbeatResponse(BaseModel):
    """The secret and the channel `o2r` (orchestrator to runner) come only with the first one."""

    runner_id: str = Field(min_length=1, max_length=256)
    heartbeat_interval: Duration
    heartbeat_ttl: Duration
    heartbeat_secret: str = Field(default="", max_length=1024)
    o2r: Channel | None = None
    session_ids: list[str] | None = None

    @property
    def due_seconds(self) -> float:
        """Seconds until the next heartbeat is due."""
        return min(self.heartbeat_interval, self.heartbeat_ttl / HEARTBEATS_PER_TTL)


class Heartbeat:
    """Registers one runner, under a new id each time, and keeps it registered."""

    def __init__(self, client: OrchestratorClient, context: RegistrarContext, mode: str) -> None:
        self._client = client
        self._settings = context.settings
        self._distribution = context.distribution
        self._version = version(context.distribution)
        self._describe_gpu = context.describe_gpu
        self._mode = mode
        self._gpu: dict[str, Any] | None = None
        # The response to the first heartbeat; None while the orchestrator knows no runner.
        self._runner: HeartbeatResponse | None = None

    async def register(self, capacity: int, sessions: frozenset[str]) -> HeartbeatResponse:
        """Send the first heartbeat. Raises OrchestratorError."""
        self._gpu = await self._describe_gpu()
        secret = self._settings[OrchestratorSettings].orchestrator_secret
        assert secret is not None
        body = self._body(capacity, sessions)
        response = await self._post(body, secret.get_secret_value())
        if not response.heartbeat_secret:
            raise invalid_response()
        self._runner = response
        return response

    async def renew(self, capacity: int, sessions: frozenset[str]) -> HeartbeatResponse | None:
        """Send the next heartbeat; None when the orchestrator does not know the runner.

        Raises OrchestratorError.
        """
        if self._runner is None:
            return None
        body = self._body(capacity, sessions) | {"runner_id": self._runner.runner_id}
        try:
            return await self._post(body, self._runner.heartbeat_secret)
        except OrchestratorError as error:
            if error.status not in UNKNOWN_RUNNER:
                raise
            self._runner = None
            return None

    async def unregister(self) -> None:
        """Unregister the runner, if there is one; this ends all its sessions.

        Raises OrchestratorError.
        """
        if self._runner is not None:
            runner, self._runner = self._runner, None
            path = f"/runners/{quote(runner.runner_id, safe='')}/unregister"
            try:
                await self._client.post(path, b"", runner.heartbeat_secret)
            except OrchestratorError as error:
                if error.status not in UNKNOWN_RUNNER:
                    raise

    def _body(self, capacity: int, sessions: frozenset[str]) -> dict[str, Any]:
        runner = self._settings[LiveRunnerSettings]
        body = {
            "label": self._distribution,
            "runner_url": self._settings[OrchestratorSettings].container_url,
            "version": self._version,
            "status": "ready",
            "mode": self._mode,
            "app": runner.app,
            "capacity": capacity,
            "price_info": {
                "price": f"{runner.price_per_unit:f}",
                "currency": runner.price_currency,
                "unit": runner.price_unit,
            },
            "session_ids": sorted(sessions),
        }
        if self._gpu:
            body["gpu"] = self._gpu
        return body

    async def _post(self, body: dict[str, Any], secret: str) -> HeartbeatResponse:
        response = await self._client.post("/runners/heartbeat", json.dumps(body).encode(), secret)
        try:
            return HeartbeatResponse.model_validate_json(response)
        except ValidationError:
            raise invalid_response() from None


def invalid_response() -> OrchestratorError:
    return OrchestratorError("invalid", "the orchestrator's answer to the heartbeat is invalid")


class LiveRunner(ActiveRegistrar):
    """Registers a runner and keeps it registered by heartbeats.

    To refuse new sessions without ending open ones, report `capacity = open sessions`: go-livepeer
    ends all sessions of a runner in any other state.
    """

    mode: ClassVar[Literal["single-shot", "persistent"]]

    def __init__(self, context: RegistrarContext) -> None:
        super().__init__(context)
        self._heartbeat = Heartbeat(self._client, context, self.mode)

    async def _report(self) -> float:
        response = await self._send_heartbeat()
        return response.due_seconds if response else FOREVER

    async def _send_heartbeat(self) -> HeartbeatResponse | None:
        """None when only the withdrawal is left to be sent. Raises OrchestratorError."""
        if self._closed and not self._sessions:
            return None
        capacity = self._capacity()
        response = await self._heartbeat.renew(capacity, self._sessions)
        if response is None:
            if self._closed:
                return None
            self._confirm(False)
            response = await self._heartbeat.register(capacity, self._sessions)
            self._on_registered(response)
        self._confirm(True)
        return response

    def _capacity(self) -> int:
        if self._closed:
            return len(self._sessions)
        return self._settings[ContainerSettings].capacity

    def _on_registered(self, response: HeartbeatResponse) -> None:
        """The orchestrator has registered a new runner."""

    async def _unregister(self) -> None:
        await self._heartbeat.unregister()
        self._confirm(False)
