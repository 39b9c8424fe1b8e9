"""The heartbeat of a live runner (contract §5.2)."""

import json
import re
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from .ops.device import describe_gpu
from .settings import Settings
from .upstream import Upstream, UpstreamError

DISTRIBUTION = "<<cookiecutter.project_slug>>"
MODE = "<<cookiecutter.__mode>>"
# What Go prints of a duration.
UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|µs|ns|m|s)")
# So often is a heartbeat due before the orchestrator forgets us.
BEATS_A_LIFE = 3
# A restarted orchestrator says 401, and 404 one that is about to remove us.
FORGOTTEN = (401, 404)


def seconds(duration: Any) -> float:
    text = str(duration)
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration of Go")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


type Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=86_400)]


class Channel(BaseModel):
    url: str
    internal_url: str = ""


class Standing(BaseModel):
    """What the orchestrator answers: secret and channel only to the first heartbeat."""

    runner_id: str = Field(min_length=1, max_length=256)
    heartbeat_interval: Seconds
    heartbeat_ttl: Seconds
    heartbeat_secret: str = Field(default="", max_length=1024)
    o2r: Channel | None = None
    session_ids: list[str] | None = None

    @property
    def due(self) -> float:
        """Seconds until the next heartbeat."""
        return min(self.heartbeat_interval, self.heartbeat_ttl / BEATS_A_LIFE)


class Heartbeat:
    """One runner; with a new name each time that the orchestrator has forgotten it."""

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self._settings = settings
        self._upstream = upstream
        self._version = version(DISTRIBUTION)
        self._runner: Standing | None = None
        self._gpu: dict[str, Any] | None = None

    @property
    def alive(self) -> bool:
        """The orchestrator knows us, as far as we know."""
        return self._runner is not None

    async def register(self, capacity: int, sessions: frozenset[str]) -> Standing:
        """The first heartbeat. Raises UpstreamError."""
        self._gpu = await describe_gpu()
        self._runner = await self._send(capacity, sessions, None)
        return self._runner

    async def beat(self, capacity: int, sessions: frozenset[str]) -> Standing | None:
        """The next one; None when we are not known, or not any more. Raises UpstreamError."""
        if self._runner is None:
            return None
        try:
            return await self._send(capacity, sessions, self._runner)
        except UpstreamError as error:
            if error.status not in FORGOTTEN:
                raise
            self._runner = None
            return None

    async def stop(self) -> None:
        """Unregister, where we are known; all our sessions end with it. Raises UpstreamError."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            path = f"/runners/{quote(runner.runner_id, safe='')}/unregister"
            try:
                await self._upstream.post(path, b"", runner.heartbeat_secret)
            except UpstreamError as error:
                if error.status not in FORGOTTEN:
                    raise

    async def _send(
        self, capacity: int, sessions: frozenset[str], runner: Standing | None
    ) -> Standing:
        settings = self._settings
        body = {
            "label": DISTRIBUTION,
            "runner_url": settings.container_url,
            "version": self._version,
            "status": "ready",
            "mode": MODE,
            "app": settings.app,
            "capacity": capacity,
            "price_info": {
                "price": f"{settings.price_per_unit:f}",
                "currency": settings.price_currency,
                "unit": settings.price_unit,
            },
            "session_ids": sorted(sessions),
        }
        if self._gpu:
            body["gpu"] = self._gpu
        if runner:
            body["runner_id"], secret = runner.runner_id, runner.heartbeat_secret
        else:
            assert settings.orchestrator_secret is not None
            secret = settings.orchestrator_secret.get_secret_value()
        answer = await self._upstream.post("/runners/heartbeat", json.dumps(body).encode(), secret)
        try:
            standing = Standing.model_validate_json(answer)
        except ValidationError:
            standing = None
        if standing is None or (runner is None and not standing.heartbeat_secret):
            raise UpstreamError("invalid", "the orchestrator's answer is no heartbeat's")
        return standing
