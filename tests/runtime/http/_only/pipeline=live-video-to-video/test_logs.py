"""Structured lines, who they belong to, and what must never stand in them."""

import json
from contextlib import ExitStack

from callback import PUBLIC, TOKEN, run_callback
from emulator.container import DEADLINE_SECONDS, StartContainer, eventually
from emulator.trickle import TrickleServer
from streaming import MIME_TYPES, Caller, bunny

CLIP = bunny(size=(160, 90), frames=10, audio=False)
OWN_TOKEN = "a-token-that-nobody-may-see"


def test_every_line_of_a_session_names_it(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    """Those of both processes, of the model's own logger, and of tracebacks."""
    with start_server(BYOC_CAPACITY="2") as server:
        for do in ("log", "fail"):
            with Caller(server, trickle, f"session-{do}") as caller:
                caller.open({"do": do})
                caller.control(b"no message")
                caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
                caller.finish()
        eventually(lambda: len(server.events("session ended")) == 2, "session ended")
        names = ("session started", "control message ignored", "session ended")
        for name in (*names, "a line of the model", "model failed", "session fault"):
            found = {event["session_id"] for event in server.events(name)}
            both = {"session-log", "session-fail"}
            only = {"a line of the model": {"session-log"}}.get(name, {"session-fail"})
            assert found == (both if name in names else only)
        failed = server.events("model failed")[0]
        assert "ValueError: a detail that is not for the caller" in failed["exception"]
        (ended,) = [it for it in server.events("session ended") if "log" in it["session_id"]]
        assert (ended["reason"], ended["frames_in"]) == ("input_ended", 10)
        lines = [json.loads(line) for line in server.log().splitlines()]
        assert all({"timestamp", "level", "event"} <= set(line) for line in lines)


def test_no_secret_is_logged(start_server: StartContainer, trickle: TrickleServer) -> None:
    """Tokens, and the addresses of channels, which are all that protects them
    (trickle/trickle_server.go).
    """
    settings = {"BYOC_AUTH_TOKEN": OWN_TOKEN, "BYOC_LOG_LEVEL": "DEBUG", "BYOC_CAPACITY": "8"}
    with start_server(**settings) as server, run_callback(trickle) as orchestrator:
        server.jobs.headers["Authorization"] = f"Bearer {OWN_TOKEN}"
        with Caller(server, trickle, "s1") as caller:
            caller.open({"do": "count", "secret": "a-secret-parameter"})
            caller.control(b'{"refuse": true, "secret": "a-secret-parameter"}')
            caller.control(b'a-secret-parameter "')
            eventually(lambda: caller.events("error"), "error")
            caller.publish(CLIP, speed=2).result(DEADLINE_SECONDS)
            caller.end_input()
            eventually(lambda: server.events("session ended"), "ended")
        with ExitStack() as stack:
            callers = [stack.enter_context(Caller(server, trickle, f"s{n}")) for n in range(2, 7)]
            for caller, key in zip(callers, MIME_TYPES, strict=True):
                nowhere = {key: "http://127.0.0.1:9/ai/trickle/s0-nowhere"}
                assert caller.start({}, **nowhere).status_code == 200
                caller.publish(CLIP, speed=10)
                caller.start({"wrong": 1}, subscribe_url="a-secret-parameter")
            list(server.pool.map(Caller.stop, callers))
        with Caller(server, trickle, "s8"):
            headers = orchestrator.headers("s8")
            assert server.jobs.post("/stream/start", json={}, headers=headers).is_success
            bad = headers | {"Livepeer-Session-Token": TOKEN[:-1], "Livepeer-Session-Id": "s9"}
            assert server.jobs.post("/stream/start", json={}, headers=bad).status_code == 502
            orchestrator.server.server_close()
            for control in ("http://[", "http://127.0.0.1:9/s0-nowhere"):
                bad = headers | {"Livepeer-Session-Control": control, "Livepeer-Session-Id": "s9"}
                assert server.jobs.post("/stream/start", json={}, headers=bad).status_code == 502
            server.jobs.headers["Authorization"] = f"Bearer {OWN_TOKEN} {OWN_TOKEN}"
            assert server.jobs.get("/stream/status").status_code == 401
            metrics = server.ops.get("/metrics").text
            assert server.stop() == 0
        log = server.log()
        assert server.events("session ended")
        secrets = [OWN_TOKEN[:-1], TOKEN[:-1], "a-secret-parameter", "nowhere", "/session/"]
        secrets += ["/ai/trickle", "s1-", "s8-", PUBLIC, f":{trickle.port}"]
        assert [secret for secret in secrets if secret in log + metrics] == []
