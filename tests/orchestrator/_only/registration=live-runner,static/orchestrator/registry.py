"""How orchestrators come to know of live runners, and forget them (ai/runner/live_runner.go)."""

import asyncio
import time
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from . import proxy
from .apps import Apps, check
from .golang import RefusedError, duration, struct, unmarshal
from .node import Node
from .runner_spec import HEARTBEAT, STATIC, Spec, normalize, normalize_static
from .runners import Commands, Runner, Runners, random_name

HEALTH_PATIENCE_SECONDS = 3
CONFIGURE_SECONDS = 30


class Registry:
    """`runners` are those that are known; `static` is a runners.json to begin with.

    Health is polled, heartbeats are asked for, and o2r channels are kept alive every so many
    seconds; a runner without a heartbeat is forgotten after `ttl_seconds`. `onchain` asks for
    prices as on-chain orchestrators do.
    """

    def __init__(
        self,
        node: Node,
        *,
        static: bytes = b"",
        onchain: bool = False,
        health_seconds: float = 5,
        heartbeat_seconds: float = 5,
        ttl_seconds: float = 20,
        o2r_seconds: float = 10,
    ) -> None:
        self.runners = Runners(node, ttl_seconds)
        self._apps = Apps(node, self.runners)
        self._node = node
        self._static = static
        self._onchain = onchain
        self._health_seconds = health_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._ttl_seconds = ttl_seconds
        self._o2r_seconds = o2r_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/registerLiveRunners", self._register_static),
            web.post("/runners/heartbeat", self._heartbeat),
            web.post("/runners/{runner}/unregister", self._unregister),
            *self._apps.routes(),
        ]

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._http: ClientSession = proxy.client()
        self._apps.http = self._http
        if self._static:
            await self.upsert(self._static)
        self._tasks = [
            asyncio.create_task(self._poll_health()),
            asyncio.create_task(self._expire()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.forget()
        await self._http.close()

    def forget(self) -> None:
        """Memory is all there is: a restart loses it."""
        for runner in self.runners:
            self.runners.remove(runner, "the orchestrator has forgotten it")

    def register_static(self, data: bytes) -> dict[str, Any]:
        """A runners.json, from another thread than the loop's; ValueError if it is refused."""
        upserting = asyncio.run_coroutine_threadsafe(self.upsert(data), self._loop)
        return upserting.result(CONFIGURE_SECONDS)

    async def upsert(self, data: bytes) -> dict[str, Any]:
        """All or nothing; labels that are known are replaced, others stay."""
        entries = unmarshal(data, struct({"runners": lambda value: value or []}))["runners"]
        specs: list[Spec] = []
        for index, entry in enumerate(entries):
            try:
                spec = normalize_static(STATIC(entry), self._onchain)
            except ValueError as error:
                raise ValueError(f"runners[{index}]: {error}") from None
            if any(spec["label"] == other["label"] for other in specs):
                raise ValueError(f'runners[{index}]: duplicate label "{spec["label"]}"')
            specs.append(spec)
        for spec in specs:
            spec["status"] = await self._status(spec)
        return {"runners": [self._configure(spec) for spec in specs]}

    def _configure(self, spec: Spec) -> dict[str, Any]:
        known = (it for it in self.runners if it.static)
        runner = next((it for it in known if it.spec["label"] == spec["label"]), None)
        if runner is None:
            name = f"runner_{random_name()}"
            runner = Runner(name, spec, static=True, route=name)
            self._node.report(f"runner {name} configured: {spec['app']} at {spec['runner_url']}")
        self.runners.by_route.pop(runner.route, None)
        runner.spec = spec
        runner.route = spec["label"] if spec["routing"] == "label" else runner.id
        self.runners.by_route[runner.route] = runner
        self._release_unless_ready(runner)
        told = ("label", "app", "runner_url", "mode", "health_url", "healthy_status_code")
        answer = {"runner_id": runner.id, **{name: spec[name] for name in told}}
        return {**answer, "healthy": runner.ready}

    async def _poll_health(self) -> None:
        """Asks one after another; one miss releases every session."""
        while True:
            await asyncio.sleep(self._health_seconds)
            for runner in self.runners:
                if not runner.static:
                    continue
                status = await self._status(runner.spec)
                if status != runner.spec["status"]:
                    self._node.report(f"runner {runner.id} is {status}")
                runner.spec["status"] = status
                self._release_unless_ready(runner)

    async def _status(self, spec: Spec) -> str:
        """Only the status that was configured counts; the body is not read."""
        try:
            async with self._http.get(
                spec["health_url"], timeout=ClientTimeout(total=HEALTH_PATIENCE_SECONDS)
            ) as answer:
                healthy: bool = answer.status == spec["healthy_status_code"]
        except (ClientError, OSError, ValueError):
            healthy = False
        return "ready" if healthy else "unavailable"

    def _release_unless_ready(self, runner: Runner) -> None:
        if not runner.ready:
            self.runners.release_all(runner)

    async def _expire(self) -> None:
        """Looked at once per interval, so that 404 comes before 401."""
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            for runner in self.runners:
                if self.runners.expired(runner):
                    self.runners.remove(runner, "no heartbeat")

    async def _register_static(self, request: web.Request) -> web.Response:
        """On the port that serves all: server/webserver.go has it on the operator's."""
        try:
            return web.json_response(await self.upsert(await request.read()))
        except ValueError as error:
            raise RefusedError(400, str(error)) from None

    async def _heartbeat(self, request: web.Request) -> web.Response:
        """What is wrong with the body comes before the secret."""
        try:
            spec = unmarshal(await request.read(), HEARTBEAT, stream=True)
            spec["runner_id"] = spec["runner_id"].strip() or f"runner_{random_name()}"
            spec = normalize(spec, self._onchain)
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        secret = request.headers.get("Authorization", "")
        if runner := self.runners.by_route.get(spec["runner_id"]):
            if self.runners.expired(runner):
                raise RefusedError(404, "runner not found")
            right = "" if runner.static else runner.derive("heartbeat")
            check(secret, right, "invalid heartbeat authorization")
            if runner.static:
                raise RefusedError(400, "static runner cannot heartbeat")
            runner.spec, runner.heard = spec, time.monotonic()
            return web.json_response(self._told(runner))
        if not self._node.secret:
            raise RefusedError(404, "dynamic live runner registration is disabled")
        check(secret, self._node.secret, "invalid registration authorization")
        return web.json_response(self._register(spec))

    def _register(self, spec: Spec) -> dict[str, Any]:
        name = spec["runner_id"]
        runner = self.runners.by_route[name] = Runner(name, spec, static=False, route=name)
        channel = f"{name}-{runner.derive('trickle:o2r')[:16]}-o2r"
        runner.commands = Commands(self._node, channel, self._o2r_seconds)
        self._node.report(f"runner {name} registered: {spec['app']} at {spec['runner_url']}")
        secret = runner.derive("heartbeat")
        return {
            **self._told(runner),
            "heartbeat_secret": secret,
            "o2r": runner.commands.told(),
        }

    def _told(self, runner: Runner) -> dict[str, Any]:
        """Session ids are the orchestrator's own, oldest first."""
        return {
            "runner_id": runner.id,
            "orchestrator": self._node.runner_url,
            "heartbeat_interval": duration(self._heartbeat_seconds),
            "heartbeat_ttl": duration(self._ttl_seconds),
            "session_ids": list(runner.sessions),
        }

    async def _unregister(self, request: web.Request) -> web.Response:
        """Releases all sessions at once."""
        runner = self.runners.known(request)
        if runner.static:
            raise RefusedError(400, "static runner cannot unregister with heartbeat credentials")
        secret = request.headers.get("Authorization", "")
        check(secret, runner.derive("heartbeat"), "invalid authorization")
        self.runners.remove(runner, "unregistered")
        return web.Response(status=204)
