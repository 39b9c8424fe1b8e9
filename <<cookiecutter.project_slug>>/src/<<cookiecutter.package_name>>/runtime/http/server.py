"""The HTTP server of both ports."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..metrics import Metrics
from .protocol import protocol

KEEP_ALIVE_SECONDS = 120  # orchestrators reuse idle connections for up to 90 s
STOP_SECONDS = 1


class HttpServer(uvicorn.Server):
    """A server that handles no signals, and counts responses that are not fully sent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(metrics),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @property
    def unsent(self) -> int:
        """How many complete responses wait for their callers to read on."""
        return sum(
            isinstance(connection, HttpToolsProtocol)
            and connection.cycle is not None
            and connection.cycle.response_complete
            and connection.transport.get_write_buffer_size() > 0
            for connection in self.server_state.connections
        )
