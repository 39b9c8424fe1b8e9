"""Listening: an aiohttp application at an address, and a server on a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from aiohttp import web

LINGER_SECONDS = 0.5  # for what is still open after an answer, or when the server ends


class Listener:
    """Serves from `open`, which says at which port, until `close`, which waits for nobody."""

    def __init__(self, app: web.Application) -> None:
        # A request ends with its connection: it may wait for ever otherwise.
        limits: dict[str, Any] = {"handler_cancellation": True, "lingering_time": LINGER_SECONDS}
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=LINGER_SECONDS, **limits
        )

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        connections = self._runner.server.connections if self._runner.server else []
        transports = [connection.transport for connection in connections]
        await self._runner.cleanup()
        for transport in filter(None, transports):  # else one that never reads stays open
            transport.abort()


@contextmanager
def on_thread[S: AbstractAsyncContextManager[Any]](server: S, name: str) -> Iterator[S]:
    """The server on a thread of its own, for callers without an event loop."""
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
