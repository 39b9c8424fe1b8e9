"""Servers at the other end of a channel that do as they like."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SMALL_BUFFER_BYTES = 4096
PATIENCE_SECONDS = 1


def accept(listener: socket.socket, answer: bytes | None, held: list[socket.socket]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if answer is None:
            held.append(connection)
            continue
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE_SECONDS)
            connection.recv(SMALL_BUFFER_BYTES)
            connection.sendall(answer)


@contextmanager
def run_hostile_server(answer: bytes | None = None) -> Iterator[str]:
    """Its URL. It answers with these bytes and hangs up, or accepts and never reads."""
    held: list[socket.socket] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=accept, args=(listener, answer, held))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()
