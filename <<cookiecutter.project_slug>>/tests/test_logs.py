"""Structured lines, who they belong to, and what must never stand in them."""

import json
import subprocess
import sys

from harness import PACKAGE, Server, StartServer, eventually

TOKEN = "a-token-that-nobody-may-see"
IDS = {"Livepeer-Session-Id": "session-7", "X-Request-Id": "request-7"}


def test_every_line_of_a_job_names_its_session_and_request(server: Server) -> None:
    """Those of both processes, of the model's own logger, and of tracebacks."""
    for behaviour in ("log", "fail", "exhaust"):
        server.jobs.post("/run", json={"do": behaviour}, headers=IDS)
        eventually(lambda: server.do("echo").is_success)
    names = ("a line of the model", "model failed", "model ran out of memory", "job ended")
    for name in names:
        events = [event for event in server.events(name) if event["session_id"] == "session-7"]
        assert {event["request_id"] for event in events} == {"request-7"}
        assert all({"timestamp", "level"} <= set(event) for event in events)
        if name == "model failed":
            assert "ValueError: a detail that is not for the caller" in events[0]["exception"]
    lines = server.log().splitlines()
    assert all(json.loads(line) for line in lines)
    assert server.log().count("a line of the model") == 1


def test_no_secret_is_logged(start_server: StartServer) -> None:
    with start_server(BYOC_AUTH_TOKEN=TOKEN, BYOC_LOG_LEVEL="DEBUG") as server:
        for token in (TOKEN, TOKEN[:-1], f"{TOKEN} {TOKEN}"):
            server.jobs.headers["Authorization"] = f"Bearer {token}"
            for behaviour in ("echo", "fail", "unknown", "crash"):
                server.do(behaviour)
        metrics = server.ops.get("/metrics").text
        assert server.stop() == 0
        assert server.events("job ended")
        assert TOKEN[:-1] not in server.log() + metrics


def test_the_console_form_is_for_people() -> None:
    code = f"""
import logging, structlog
from {PACKAGE}.logs import configure_logs
configure_logs("console", "INFO")
structlog.get_logger().info("first", count=1)
logging.getLogger("library").warning("second %d", 2)
structlog.get_logger().debug("third")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert "first" in first
    assert "count=1" in first
    assert "second 2" in second
