"""Live runners as ai/runner/live_runner.go keeps them, with their sessions."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from base64 import b32encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from .golang import RefusedError
from .node import Node
from .runner_spec import SINGLE_SHOT, Spec

QUEUE_LENGTH = 32  # what is beyond it is dropped


def random_name(count: int = 5) -> str:
    """Lowercase base32 of as many random bytes."""
    return b32encode(secrets.token_bytes(count)).decode().rstrip("=").lower()


class Commands:
    """The o2r channel: what the orchestrator tells a dynamic runner."""

    def __init__(self, node: Node, name: str, seconds: float) -> None:
        self.name = name
        self.url = f"{node.runner_url}/ai/trickle/{name}"
        self._trickle = node.trickle
        self._seconds = seconds
        self._queue: asyncio.Queue[dict[str, str]] = asyncio.Queue(QUEUE_LENGTH)
        self._loop = asyncio.get_running_loop()
        node.trickle.create(name, "application/json")
        self._writing = asyncio.create_task(self._write())

    def tell(self, event: str, session: str) -> None:
        message = {"event": event, "session": session, "timestamp": datetime.now(UTC).isoformat()}
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(message)

    def close(self) -> None:
        """From any thread; what has not been written is lost, as in go-livepeer."""
        self._loop.call_soon_threadsafe(self._writing.cancel)
        self._trickle.close_channel(self.name)

    def told(self) -> dict[str, str]:
        """How a runner finds it."""
        known = {"name": "o2r", "channel_name": self.name, "mime_type": "application/json"}
        return {**known, "url": self.url}

    async def _write(self) -> None:
        """One JSON object per segment; {"keep": "alive"} at even intervals."""
        alive = time.monotonic() + self._seconds
        writes = True
        while writes:
            message: dict[str, str] = {"keep": "alive"}
            try:
                async with asyncio.timeout(max(alive - time.monotonic(), 0)):
                    message = await self._queue.get()
            except TimeoutError:
                alive += self._seconds
            writes = self._trickle.write(self.name, json.dumps(message).encode())


@dataclass
class Session:
    """`channels` by the runner's name for them."""

    created: float = field(default_factory=time.monotonic)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(eq=False)
class Runner:
    """`route` is how it is found; `commands` is None for static ones."""

    id: str
    spec: Spec
    static: bool
    route: str
    commands: Commands | None = None
    heard: float = field(default_factory=time.monotonic)
    sessions: dict[str, Session] = field(default_factory=dict)
    _seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def ready(self) -> bool:
        """Any other status hides it, and its sessions with it."""
        return self.spec["status"] in ("", "ready")

    def derive(self, label: str) -> str:
        """A secret of this runner's."""
        digest = hmac.digest(self._seed, label.encode(), hashlib.sha256)
        return b32encode(digest).decode().rstrip("=").lower()

    def session_token(self, session: str) -> str:
        return self.derive(f"session:{session}")

    def reserve(self) -> str:
        """503 over capacity."""
        if len(self.sessions) >= self.spec["capacity"]:
            raise RefusedError(503, "no capacity available for runner")
        session = f"session_{random_name()}"
        self.sessions[session] = Session()
        if self.commands:
            self.commands.tell("reserved", session)
        return session

    def discovered(self, service_url: str) -> dict[str, Any]:
        """As GET /discovery shows it: its own address stays private."""
        spec = self.spec
        path = "app" if spec["mode"] == SINGLE_SHOT else "session"
        optional = {name: spec[name] for name in ("gpu", "version", "metadata") if spec[name]}
        return {
            "url": f"{service_url}/apps/{self.route}/{path}",
            "app": spec["app"],
            "mode": spec["mode"],
            "capacity": spec["capacity"],
            "capacity_used": len(self.sessions),
            "capacity_available": spec["capacity"] - len(self.sessions),
            **optional,
        }


class Runners:
    """By route; a dynamic one that was not heard for `ttl_seconds` is as good as gone."""

    def __init__(self, node: Node, ttl_seconds: float) -> None:
        self.by_route: dict[str, Runner] = {}
        self._node = node
        self._ttl_seconds = ttl_seconds

    def __iter__(self) -> Iterator[Runner]:
        return iter(list(self.by_route.values()))

    def expired(self, runner: Runner) -> bool:
        return not runner.static and time.monotonic() - runner.heard > self._ttl_seconds

    def known(self, request: web.Request) -> Runner:
        """That of the path, in any state."""
        runner = self.by_route.get(request.match_info["runner"])
        if runner is None or self.expired(runner):
            raise RefusedError(404, "runner not found")
        return runner

    def ready(self, request: web.Request) -> Runner:
        """One that is not ready is as one that is unknown."""
        runner = self.known(request)
        if not runner.ready:
            raise RefusedError(404, "runner not found")
        return runner

    def session(self, request: web.Request) -> tuple[Runner, str]:
        runner, session = self.ready(request), request.match_info["session"]
        if session not in runner.sessions:
            raise RefusedError(404, "runner session not found")
        return runner, session

    def remove(self, runner: Runner, reason: str) -> None:
        self._node.report(f"runner {runner.id} removed: {reason}")
        self.by_route.pop(runner.route, None)
        if runner.commands:
            runner.commands.close()
            runner.commands = None
        self.release_all(runner)

    def release_all(self, runner: Runner) -> None:
        for session in list(runner.sessions):
            self.release(runner, session)

    def release(self, runner: Runner, session: str) -> None:
        """Ends the session's channels; requests in flight go on."""
        if not (ended := runner.sessions.pop(session, None)):
            return
        self._node.report(f"session {session} released")
        if runner.commands:
            runner.commands.tell("released", session)
        for channel in ended.channels.values():
            self._node.trickle.close_channel(channel["channel_name"])
