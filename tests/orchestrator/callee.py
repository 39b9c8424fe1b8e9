"""A small server in the place of a container, for what calls containers."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from emulator.container import DEADLINE_SECONDS


class Request(NamedTuple):
    """As it was received: `target` is the path with its query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    container: "Callee"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        values = {name.lower(): self.headers.get_all(name, []) for name in self.headers}
        headers = {name: ", ".join(several) for name, several in values.items()}
        self.container.requests.append(Request(self.command, self.path, headers, body))
        path = self.path.partition("?")[0]
        self.container.answers.get(path, self.container.answer)(self)

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """`Content_Type` is the header Content-Type."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self, content_type: str, status: int = 200) -> None:
        """An answer that ends with its connection."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def break_off(self) -> None:
        self.close_connection = True

    def send_half(self, length: int = 10) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(length // 2 * b"x")
        self.break_off()


class Callee:
    """It answers as `answers` says for a path, else with `answer`, from threads of its own."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque(maxlen=10_000)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.answer: Callable[[Handler], None] = lambda handler: handler.send(
            200, json.dumps({"path": handler.path}).encode(), Content_Type="application/json"
        )
        handler = type("Handler", (Handler,), {"container": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def run_callee() -> Iterator[Callee]:
    container = Callee()
    thread = threading.Thread(target=container.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield container
    finally:
        container.server.shutdown()
        container.server.server_close()
        thread.join(DEADLINE_SECONDS)
