"""The ops port, on a thread and an event loop of its own.

Nothing here waits for the main loop or the model, so that it answers while they are busy or stuck.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..health import Health
from ..http.protocol import exception_handlers
from ..http.server import STOP_SECONDS, HttpServer
from ..metrics import Metrics
from .gpu import Gpu


class OpsServer:
    """`beside` runs on the same loop until the server stops.

    `on_poll` is called with each status that somebody outside the container gets from /health.
    """

    def __init__(
        self,
        listener: socket.socket,
        health: Health,
        metrics: Metrics,
        gpu: Gpu,
        *,
        beside: Callable[[], Coroutine[Any, Any, None]],
        on_poll: Callable[[int], None],
    ) -> None:
        self._listener = listener
        self._health = health
        self._metrics = metrics
        self._gpu = gpu
        self._beside = beside
        self._on_poll = on_poll
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
        beside = asyncio.create_task(self._beside())
        await self._server.serve([self._listener])
        beside.cancel()
        await asyncio.wait([beside])

    async def _get_health(self, request: Request) -> Response:
        response = self._health.response()
        if "user-agent" in request.headers:  # the container's own health check sends none
            self._on_poll(response.status_code)
        return response

    async def _get_livez(self, request: Request) -> Response:
        return self._health.liveness()

    async def _get_metrics(self, request: Request) -> Response:
        await self._gpu.refresh()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._metrics.registry), headers={"Content-Type": content_type})
