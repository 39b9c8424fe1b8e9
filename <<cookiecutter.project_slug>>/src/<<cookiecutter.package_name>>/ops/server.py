"""The ops port and the word to the orchestrator, on a thread and an event loop of their own.

Nothing here waits for the main loop or the model, so that it answers while they are busy or stuck.
"""

import asyncio
import socket
import threading

import uvloop
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..http_server import STOP_SECONDS, HttpServer
from ..orchestrator import Orchestrator
from ..refusals import exception_handlers
from .gpu import GpuMemory
from .health import Health
from .metrics import Metrics


class OpsServer:
    def __init__(
        self,
        listener: socket.socket,
        health: Health,
        metrics: Metrics,
        gpu: GpuMemory,
        orchestrator: Orchestrator,
    ) -> None:
        self._listener = listener
        self._orchestrator = orchestrator
        self._health = health
        self._metrics = metrics
        self._gpu = gpu
        routes = [
            Route("/health", self._get_health),
            Route("/livez", self._get_livez),
            Route("/metrics", self._get_metrics),
        ]
        app = Starlette(routes=routes, exception_handlers=exception_handlers(metrics))
        app.router.redirect_slashes = False
        self._server = HttpServer(app, metrics)
        self._thread = threading.Thread(
            target=lambda: uvloop.run(self._run()), name="ops", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks the server to end; `join` waits for it."""
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join(STOP_SECONDS)

    async def _run(self) -> None:
        informing = asyncio.create_task(self._orchestrator.run())
        await self._server.serve([self._listener])
        informing.cancel()
        await asyncio.wait([informing])

    async def _get_health(self, request: Request) -> Response:
        #% if cookiecutter.registration == "static"
        response = self._health.response()
        if "user-agent" in request.headers:  # our own health check has none
            self._orchestrator.polled(response.status_code)
        return response

        #% else
        return self._health.response()

        #% endif
    async def _get_livez(self, request: Request) -> Response:
        return self._health.liveness()

    async def _get_metrics(self, request: Request) -> Response:
        await self._gpu.refresh()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._metrics.registry), headers={"Content-Type": content_type})
