"""Structured lines, who they belong to, and what must never stand in them."""

import json

from emulator.container import Container, StartContainer, eventually
from jobs import do

TOKEN = "a-token-that-nobody-may-see"
IDS = {"Livepeer-Session-Id": "session-7", "X-Request-Id": "request-7"}


def test_every_line_of_a_job_names_its_session_and_request(server: Container) -> None:
    """Those of both processes, of the model's own logger, and of tracebacks."""
    for behaviour in ("log", "fail", "exhaust"):
        server.jobs.post("/run", json={"do": behaviour}, headers=IDS)
        eventually(lambda: do(server, "echo").is_success, "a job answered")
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


def test_no_secret_is_logged(start_server: StartContainer) -> None:
    with start_server(BYOC_AUTH_TOKEN=TOKEN, BYOC_LOG_LEVEL="DEBUG") as server:
        for token in (TOKEN, TOKEN[:-1], f"{TOKEN} {TOKEN}"):
            server.jobs.headers["Authorization"] = f"Bearer {token}"
            for behaviour in ("echo", "fail", "unknown", "crash"):
                do(server, behaviour)
        metrics = server.ops.get("/metrics").text
        assert server.stop() == 0
        assert server.events("job ended")
        assert TOKEN[:-1] not in server.log() + metrics
