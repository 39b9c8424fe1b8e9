"""How orchestrators come to know of capabilities, and forget them (byoc/job_orchestrator.go)."""

import asyncio
from base64 import b64decode
from typing import Any

from aiohttp import ClientSession, web

from .capabilities import CAPABILITY, CURRENCIES, Capabilities, Capability, client, is_signature
from .golang import RefusedError, string, struct, unmarshal
from .jobs import Jobs
from .node import Node
from .stream_jobs import StreamJobs

SENDER = struct({"addr": string, "sig": string})


class Registry:
    """`capabilities` are those that are registered, `streams` what runs at them.

    Streams look after their capability every `monitor_seconds` (byoc/stream_orchestrator.go).
    """

    def __init__(self, node: Node, *, monitor_seconds: float = 23) -> None:
        self.capabilities = Capabilities(node)
        self._jobs = Jobs(node, self.capabilities)
        self.streams = StreamJobs(node, self.capabilities, monitor_seconds)
        self._node = node

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", "/capability/register", self._register),
            web.route("*", "/capability/unregister", self._unregister),
            web.route("*", "/process/token", self._token),
            *self._jobs.routes(),
            *self.streams.routes(),
        ]

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._http: ClientSession = client()
        self._jobs.http = self.streams.http = self._http

    async def close(self) -> None:
        self.forget()
        await self._http.close()

    def forget(self) -> None:
        """Memory is all there is: a restart loses it (core/external_capabilities.go)."""
        for name in list(self.capabilities.by_name):
            self.capabilities.drop(name, "the orchestrator has forgotten it")
        self.streams.forget(self._loop.call_soon_threadsafe)

    def _allow(self, request: web.Request) -> None:
        """400 for a wrong secret, which is compared as it is."""
        if request.method != "POST":
            raise RefusedError(405, "Method not allowed")
        if request.headers.get("Authorization", "") != self._node.secret:
            raise RefusedError(400, "invalid authorization")

    async def _register(self, request: web.Request) -> web.Response:
        """The entry is replaced, and with it the load (core/external_capabilities.go)."""
        self._allow(request)
        try:
            told = unmarshal(await request.read(), CAPABILITY)
        except ValueError as error:  # words, whatever the type says
            text = f"Error registering capability: {error}"
            return web.Response(status=400, text=text, content_type="application/json")
        if told["currency"].lower() not in CURRENCIES:  # a panic
            request.protocol.force_close()
            raise web.HTTPInternalServerError
        name, url = told["name"], told["url"]
        entry = Capability(name, url, told["capacity"], told["token"], told["load"])
        self.capabilities.by_name[name] = entry
        self._node.report(f"capability {name} registered: {entry.capacity} at {url}")
        return web.Response(text="ok", content_type="application/json")

    async def _unregister(self, request: web.Request) -> web.Response:
        """Takes the bare name, and answers 200 even if nobody has it."""
        self._allow(request)
        name = (await request.read()).decode(errors="replace")
        self.capabilities.drop(name, "unregistered")
        return web.Response(text="ok", content_type="application/json")

    async def _token(self, request: web.Request) -> web.Response:
        """As far as it tells what is free, which is left out if it is 0 (byoc/types.go)."""
        if request.method != "GET":
            raise RefusedError(405, "Method not allowed")
        header = request.headers.get("Livepeer-Eth-Address", "")
        if not header:
            text = "Must have eth address and signature on address in Livepeer-Eth-Address header"
            raise RefusedError(400, text)
        try:
            sender = unmarshal(b64decode(header, validate=True), SENDER)
        except ValueError:
            raise RefusedError(400, "Invalid eth address header ") from None
        if not is_signature(sender["sig"]):
            raise RefusedError(400, "Invalid eth address header ")
        if not (name := request.headers.get("Livepeer-Capability", "")):
            rule = "must provide comma separated capabilities in Livepeer-Capability header"
            raise RefusedError(400, f"Job capabilities not provided, {rule}")
        token: dict[str, Any] = {"sender_address": sender, "price": {"pixelsPerUnit": 1}}
        if available := self.capabilities.available(name):
            token["available_capacity"] = available
        return web.json_response(token | {"service_addr": self._node.service_url})
