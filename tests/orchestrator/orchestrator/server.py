"""go-livepeer as containers and callers see it: it registers containers and serves callers.

It is as strict as go-livepeer v0.9.1, whose files are named where they apply. It asks for no
payment, knows no signatures and keeps nothing: when it restarts, it has forgotten everything.
"""

import asyncio
import json
import signal
import ssl
import tempfile
import time
from argparse import ArgumentParser
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiohttp import web

from emulator.listener import Listener, on_thread
from emulator.trickle import TrickleServer

from .addresses import BAD_ESCAPE, redirection
from .certificate import self_signed
from .golang import RefusedError, http_error
from .node import Node
from .registry import Registry

MOST_CALLS = 10_000
# What containers call, not callers.
CONTAINERS = ("/capability/", "/registerLiveRunners", "/runner/", "/runners/")

type Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class Call(NamedTuple):
    """What a container has asked for, and when (monotonic); `status` is 0 if it hung up before
    the answer, `body` is text where it is no JSON."""

    at: float
    path: str
    status: int
    body: Any


class OrchestratorServer:
    """`async with OrchestratorServer() as server:` serves at `server.url` on the running loop.

    `service_url` and `runner_url` are where callers and containers are told to find it, if that is
    not `url`; `report` gets a line, without secrets, for what happens; the registry's options are
    those of its class. A `fault` may answer in place of every route that containers call. `calls`
    are the last calls of those. A port that was used can be used again, and so can its `tls`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        secret: str = "orch-secret",
        tls: ssl.SSLContext | None = None,
        service_url: str = "",
        runner_url: str = "",
        report: Callable[[str], object] = lambda _: None,
        **registry: Any,
    ) -> None:
        self.host = host
        self.port = port
        self.url = ""
        self.trickle = TrickleServer()
        self.calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self.fault: Fault | None = None
        self._tls = tls
        self._node = Node(secret, self.trickle, report, service_url, runner_url)
        self.registry = Registry(self._node, **registry)

    async def __aenter__(self) -> Self:
        # A body is of any length (byoc/job_orchestrator.go).
        app = web.Application(middlewares=[self._serve], client_max_size=0)
        app.add_routes([*self.trickle.routes(), *self.registry.routes()])
        app.router.add_get("/healthz", _healthy)  # server/mediaserver.go
        self._listener = Listener(app)
        self.port = await self._listener.open(self.host, self.port, self._tls or _fresh())
        self.url = f"https://{self.host}:{self.port}"
        self._node.service_url = self._node.service_url or self.url
        self._node.runner_url = self._node.runner_url or self.url
        self.trickle.open(self._node.runner_url)
        await self.registry.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.registry.close()
        self.trickle.close()
        await self._listener.close()

    def forget(self) -> None:
        """From any thread: everything that it knows is lost, as when it restarts."""
        self.registry.forget()
        for name in list(self.trickle.channels):
            self.trickle.close_channel(name)

    @web.middleware
    async def _serve(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if BAD_ESCAPE.search(request.rel_url.raw_path):
            raise web.HTTPBadRequest
        if redirected := redirection(request):
            return redirected
        if not request.path.startswith(CONTAINERS):
            return await _answered(request, handler)
        at, status, body = time.monotonic(), 0, await request.read()
        try:
            answer = await self.fault(request) if self.fault else None
            if answer is None:
                answer = await _answered(request, handler)
            status = answer.status
            return answer
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self.calls.append(Call(at, request.path, status, _parsed(body)))


async def _answered(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refusal:
        return http_error(refusal.status, refusal.message)


async def _healthy(_: web.Request) -> web.Response:
    return web.Response()


def _parsed(body: bytes) -> Any:
    text = body.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fresh() -> ssl.SSLContext:
    with tempfile.TemporaryDirectory() as folder:
        return self_signed(Path(folder))


def run_orchestrator(**options: Any) -> AbstractContextManager[OrchestratorServer]:
    """A server with these options on a thread of its own, for callers without an event loop."""
    return on_thread(OrchestratorServer(**options), "orchestrator")


async def serve(**options: Any) -> None:
    async with OrchestratorServer(**options, report=partial(print, flush=True)) as server:
        print(f"serving at {server.url}", flush=True)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()


def main() -> None:
    parser = ArgumentParser("python -m orchestrator.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to serve at")
    parser.add_argument("--port", type=int, default=8935)
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret", default="orch-secret", help="what registrations must know")
    secret.add_argument("--secret-file", type=Path, help="a file that holds it")
    parser.add_argument("--service-url", default="", help="where callers find it, if elsewhere")
    parser.add_argument("--runner-url", default="", help="where containers find it, if elsewhere")
    parser.add_argument("--runners", type=Path, help="a runners.json to begin with")
    options = vars(parser.parse_args())
    if file := options.pop("secret_file"):
        options["secret"] = file.read_text().strip()
    if file := options.pop("runners", None):
        options["static"] = file.read_bytes()
    asyncio.run(serve(**options))


if __name__ == "__main__":
    main()
