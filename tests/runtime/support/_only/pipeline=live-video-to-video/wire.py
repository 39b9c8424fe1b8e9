"""The way to a trickle server, which can be cut and mended."""

import asyncio
import re
import socket
import struct
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from emulator.container import DEADLINE_SECONDS, eventually
from emulator.listener import on_thread

REQUEST = re.compile(rb"(?:GET|POST|DELETE) (\S+) HTTP/1")
# Whoever closes a socket with these options resets its connection.
RESET = struct.pack("ii", 1, 0)
READ_BYTES = 65_536


class Connection:
    """`path` is what was asked for last."""

    def __init__(self, writer: asyncio.StreamWriter, onward: asyncio.StreamWriter) -> None:
        self.path = ""
        self._writers = (writer, onward)

    def note(self, data: bytes) -> None:
        for found in REQUEST.findall(data):
            self.path = found.decode()

    def reset(self) -> None:
        for writer in self._writers:
            ours: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Wire:
    """Passes on to `target`; `url` is that as seen from this end, for addresses of channels."""

    def __init__(self, target: str) -> None:
        self.refused = 0
        self._target = urlsplit(target)
        self._down = False
        self._open: set[Connection] = set()

    async def __aenter__(self) -> "Wire":
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._target._replace(netloc=f"127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._reset("")
        await asyncio.sleep(0)

    def through(self, url: str) -> str:
        """The address of a channel, by this way."""
        return url.replace(self._target.geturl(), self.url)

    def cut(self, name: str) -> None:
        """Reset the connections on which this channel was asked for last, once there is one."""
        eventually(lambda: self._ask(self._reset, name), f"a connection for {name}")

    def go_down(self) -> None:
        """Reset all connections, from now on also each new one."""
        self._ask(self._set, True)
        self._ask(self._reset, "")

    def come_up(self) -> None:
        self._ask(self._set, False)

    def _ask(self, act: Any, *what: Any) -> Any:
        async def do() -> Any:
            return act(*what)

        doing: Coroutine[Any, Any, Any] = do()
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(DEADLINE_SECONDS)

    def _set(self, down: bool) -> None:
        self._down = down

    def _reset(self, name: str) -> int:
        chosen = [connection for connection in self._open if name in connection.path]
        for connection in chosen:
            connection.reset()
        return len(chosen)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            self.refused += 1
            Connection(writer, writer).reset()
            return
        host, port = self._target.hostname, self._target.port
        back, onward = await asyncio.open_connection(host, port)
        connection = Connection(writer, onward)
        self._open.add(connection)
        try:
            await asyncio.gather(
                self._copy(reader, onward, connection.note), self._copy(back, writer, len)
            )
        finally:
            self._open.discard(connection)
            writer.close()
            onward.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Any
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(READ_BYTES):
                note(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def run_wire(target: str) -> Iterator[Wire]:
    """On a thread of its own."""
    with on_thread(Wire(target), "wire") as wire:
        yield wire
