"""Serves an aiohttp application at an address, or on a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from aiohttp import web

LINGER_SECONDS = 0.5  # for what is still open after an answer, or when the server ends
HANDSHAKE_SECONDS = 10
CHECK_SECONDS = 0.02


class Listener:
    """Serves from `open`, which returns the port, until `close`, which cuts open connections."""

    def __init__(self, app: web.Application) -> None:
        # A request ends with its connection, because it might wait for ever.
        limits: dict[str, Any] = {"handler_cancellation": True, "lingering_time": LINGER_SECONDS}
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=LINGER_SECONDS, **limits
        )

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        await self._runner.setup()
        assert self._runner.server
        self._handlers = self._runner.server
        patience = HANDSHAKE_SECONDS if tls else None
        self._server = await asyncio.get_running_loop().create_server(
            self._handlers, host, port, ssl=tls, ssl_handshake_timeout=patience
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        self._server.close()
        await self._runner.cleanup()
        # Cut connections that don't read or are still shaking hands, because they would stay open.
        closing = asyncio.create_task(self._server.wait_closed())
        while not closing.done():
            for connection in self._handlers.connections:
                if connection.transport:
                    connection.transport.abort()
            await asyncio.wait([closing], timeout=CHECK_SECONDS)


@contextmanager
def on_thread[S: AbstractAsyncContextManager[Any]](server: S, name: str) -> Iterator[S]:
    """Run the server on a thread of its own, for callers without an event loop."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(server.__aenter__())
        thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            runner.run(server.__aexit__(None, None, None))
