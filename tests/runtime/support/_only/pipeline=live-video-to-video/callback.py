"""The callback of an orchestrator that reserves sessions of live runners (server/ai_http.go)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from emulator.trickle import TrickleServer

TOKEN = "a-session-token-that-nobody-may-see"
# The container's names for the channels, and what a Caller calls them.
NAMES = {"in": "subscribe", "out": "publish"}
# Where callers reach the channels, and containers don't.
PUBLIC = "https://public.invalid/ai/trickle"


class Callback:
    """`fault` is a status and a body that it answers instead of channels; `private` hides none.

    So many of the first stops fail as `failing` says.
    """

    def __init__(self, trickle: TrickleServer) -> None:
        self.trickle = trickle
        self.private = True
        self.fault: tuple[int, Any] | None = None
        self.made: dict[str, str] = {}
        self.stopped: list[str] = []
        self.refused = 0
        self.failing = 0
        callback = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                token = self.headers.get("Livepeer-Session-Token", "")
                status, answer = callback.answer(self.path, token, body)
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/runner/r1/session"

    def headers(self, session: str) -> dict[str, str]:
        """What the proxy adds to a caller's request."""
        return {
            "Livepeer-Runner-Route": "r1",
            "Livepeer-Session-Id": session,
            "Livepeer-Session-Token": TOKEN,
            "Livepeer-Session-Control": f"{self.url}/{session}",
        }

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, Any]:
        *_, session, action = path.split("/")
        if token != TOKEN:
            self.refused += 1
            return 401, {"error": {"message": "invalid session token"}}
        if action == "stop" and self.failing:
            self.failing -= 1
            return 500, {"error": {"message": "later"}}
        if action == "stop":
            self.stopped.append(session)
            return 204, {}
        if action != "channels":
            return 404, {"error": {"message": "not found"}}
        if self.fault:
            return self.fault
        wanted = json.loads(body)["channels"]
        assert 1 <= len(wanted) <= 25
        return 200, {"channels": [self._make(session, **channel) for channel in wanted]}

    def _make(self, session: str, name: str, mime_type: str) -> dict[str, str]:
        channel = f"{session}-{NAMES.get(name, name)}"
        ours = self.trickle.create(channel, mime_type)
        self.made[name] = mime_type
        made = {"name": name, "channel_name": channel, "mime_type": mime_type}
        if self.private:
            return {**made, "url": f"{PUBLIC}/{channel}", "internal_url": ours}
        return {**made, "url": ours}


@contextmanager
def run_callback(trickle: TrickleServer) -> Iterator[Callback]:
    callback = Callback(trickle)
    thread = threading.Thread(target=callback.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield callback
    finally:
        callback.server.shutdown()
        callback.server.server_close()
        thread.join(10)
