"""The stand-in for an orchestrator with live runners: by hand, then with the official SDK."""

import asyncio
import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web

from container import Container, Handler, run_container
from harness import DEADLINE_SECONDS, eventually
from standins.certificate import self_signed
from standins.node import Node
from standins.orchestrator import OrchestratorServer, run_orchestrator
from standins.runners import QUEUE_LENGTH, Commands
from standins.trickle import TrickleServer

SECRET = "orch-secret"
PUBLIC = "https://public.invalid"


class Client(httpx.Client):
    """Somebody who trusts any certificate; `announce` is a container's first heartbeat."""

    def __init__(self, orchestrator: OrchestratorServer) -> None:
        super().__init__(verify=False, base_url=orchestrator.url, timeout=DEADLINE_SECONDS)

    def heartbeat(self, secret: str = SECRET, **fields: Any) -> httpx.Response:
        body = {"runner_url": "http://127.0.0.1:1", "app": "live/model"} | fields
        headers = {"Authorization": secret}
        return self.post("/runners/heartbeat", json=body, headers=headers)

    def announce(self, **fields: Any) -> dict[str, Any]:
        answer = self.heartbeat(**fields)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def reserve(self, runner: str) -> dict[str, str]:
        answer = self.post(f"/apps/{runner}/session")
        assert answer.status_code == 200, answer.text
        session: dict[str, str] = answer.json()
        return session

    def discovered(self) -> list[dict[str, Any]]:
        (entry,) = self.get("/discovery").json()
        runners: list[dict[str, Any]] = entry.get("runners", [])
        return runners


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def orchestrator(certificate: ssl.SSLContext) -> Iterator[OrchestratorServer]:
    with run_orchestrator(tls=certificate, service_url=PUBLIC, o2r_seconds=0.1) as server:
        yield server


@pytest.fixture
def client(orchestrator: OrchestratorServer) -> Iterator[Client]:
    with Client(orchestrator) as client:
        yield client


@pytest.fixture
def container() -> Iterator[Container]:
    with run_container() as container:
        yield container


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def is_refused(answer: httpx.Response, status: int, message: str) -> bool:
    """As upstream words it: plain text, and a newline."""
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return (answer.status_code, answer.text) == (status, f"{message}\n")


def path(url: str) -> str:
    return url.removeprefix(PUBLIC)


# Heartbeats (§5.2)


def test_only_the_first_heartbeat_is_told_the_secret_and_the_channel(
    orchestrator: OrchestratorServer, client: Client
) -> None:
    first = client.announce()
    assert first["runner_id"].startswith("runner_")
    assert first["orchestrator"] == orchestrator.url
    assert (first["heartbeat_interval"], first["heartbeat_ttl"]) == ("5s", "20s")
    assert first["o2r"]["url"].startswith(f"{orchestrator.url}/ai/trickle/")
    assert first["o2r"]["name"] == "o2r"
    later = client.heartbeat(first["heartbeat_secret"], runner_id=first["runner_id"]).json()
    assert later == {name: first[name] for name in first if name not in ("heartbeat_secret", "o2r")}


@pytest.mark.parametrize(
    ("interval", "ttl", "told"),
    [
        (0.5, 1.5, ("500ms", "1.5s")),
        (0.25, 60, ("250ms", "1m0s")),
        (30, 3661.5, ("30s", "1h1m1.5s")),
    ],
)
def test_times_are_told_as_go_prints_them(
    interval: float, ttl: float, told: tuple[str, str], certificate: ssl.SSLContext
) -> None:
    options = {"heartbeat_seconds": interval, "ttl_seconds": ttl, "tls": certificate}
    with run_orchestrator(**options) as orchestrator, Client(orchestrator) as client:
        first = client.announce()
        assert (first["heartbeat_interval"], first["heartbeat_ttl"]) == told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runner_url": ""}, "invalid runner_url"),
        ({"runner_url": "/relative"}, "invalid runner_url"),
        ({"runner_url": "ftp://host"}, "invalid runner_url"),
        ({"runner_url": "http://"}, "invalid runner_url"),
        ({"runner_url": None}, "invalid runner_url"),
        ({"app": ""}, "app must be trimmed"),
        ({"app": " live/model"}, "app must be trimmed"),
        ({"metadata": "é" * 513}, "metadata must be at most 1024 bytes"),
        ({"metadata": "\ufffd"}, "metadata must not contain"),
        ({"status": "Ready"}, "status must be lowercase and trimmed"),
        ({"mode": "once"}, 'mode must be "persistent" or "single-shot"'),
        ({"capacity": -1}, "capacity must be >= 0"),
        ({"capacity": 1.0}, "capacity"),
        ({"capacity": "1"}, "capacity"),
        ({"capacity": 2**63}, "capacity"),
        ({"proxy": 1}, "proxy"),
        ({"gpu": "0"}, "gpu"),
        ({"gpu": {"vram_mb": 1.5}}, "vram_mb"),
        ({"session_ids": [1]}, "session_ids"),
        ({"price_info": {"price": "cheap"}}, "price"),
        ({"price_info": 1}, "price_info"),
    ],
)
def test_a_wrong_heartbeat_is_refused_before_its_secret(
    fields: dict[str, Any], words: str, client: Client
) -> None:
    answer = client.heartbeat("wrong", **fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert client.discovered() == []


def test_a_heartbeat_is_read_as_go_reads_it(client: Client) -> None:
    text = '{"RUNNER_URL": "http://a", "App": "live/model", "capacity": null, "new": [1]} {"more"'
    answer = client.post("/runners/heartbeat", content=text, headers={"Authorization": SECRET})
    assert answer.status_code == 200
    for text in ("", "[]", "{", '{"app": NaN}'):
        answer = client.post("/runners/heartbeat", content=text, headers={"Authorization": SECRET})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ({}, "price is required"),
        ({"price": 0}, "positive decimal"),
        ({"price": "-0.1"}, "positive decimal"),
        ({"price": 1, "currency": "eth"}, "currency must be usd"),
        ({"price": 1, "unit": "minute"}, "unit must be hour, 720p, or fixed"),
        ({"price": "0.1", "currency": "USD", "unit": "Fixed"}, None),
        ({"price": 1e-3}, None),
    ],
)
def test_prices_matter_on_chain_alone(
    price: dict[str, Any], words: str | None, client: Client, certificate: ssl.SSLContext
) -> None:
    assert client.heartbeat(price_info=price).status_code == 200
    with run_orchestrator(onchain=True, tls=certificate) as paid, Client(paid) as other:
        answer = other.heartbeat(price_info=price)
        assert answer.status_code == (400 if words else 200)
        assert not words or words in answer.text


def test_secrets_of_heartbeats(client: Client, certificate: ssl.SSLContext) -> None:
    refused = client.heartbeat(f"Bearer {SECRET}")
    assert is_refused(refused, 401, "invalid registration authorization")
    runner = client.announce()["runner_id"]
    refused = client.heartbeat(SECRET, runner_id=runner)
    assert is_refused(refused, 401, "invalid heartbeat authorization")
    with run_orchestrator(secret="", tls=certificate) as open_to_all, Client(open_to_all) as other:
        disabled = "dynamic live runner registration is disabled"
        assert is_refused(other.heartbeat(""), 404, disabled)


def test_a_runner_without_heartbeats_is_forgotten_with_its_sessions(
    certificate: ssl.SSLContext,
) -> None:
    options = {"heartbeat_seconds": 1, "ttl_seconds": 0.2, "tls": certificate}
    with run_orchestrator(**options) as orchestrator, Client(orchestrator) as client:
        told = client.announce()
        client.reserve(told["runner_id"])
        secret = told["heartbeat_secret"]
        eventually(lambda: not client.discovered(), "gone from discovery")
        answer = client.heartbeat(secret, runner_id=told["runner_id"])
        assert is_refused(answer, 404, "runner not found")
        eventually(lambda: not list(orchestrator.registry.runners), "removed")
        answer = client.heartbeat(secret, runner_id=told["runner_id"])
        assert is_refused(answer, 401, "invalid registration authorization")
        assert client.get(told["o2r"]["url"] + "/-2").status_code == 404
        assert client.announce(runner_id=told["runner_id"])["session_ids"] == []


def test_a_heartbeat_changes_what_it_says_and_no_session(client: Client) -> None:
    told = client.announce(capacity=0)
    session = client.reserve(told["runner_id"])["session_id"]
    again = {"runner_id": told["runner_id"], "gpu": 1, "session_ids": ["invented"]}
    answer = client.heartbeat(told["heartbeat_secret"], capacity=3, **again)
    assert answer.json()["session_ids"] == [session]
    (shown,) = client.discovered()
    assert shown == {
        "url": f"{PUBLIC}/apps/{told['runner_id']}/session",
        "gpu": {"id": "1"},
        "app": "live/model",
        "mode": "persistent",
        "capacity": 3,
        "capacity_used": 1,
        "capacity_available": 2,
    }
    client.heartbeat(told["heartbeat_secret"], capacity=1, version="2", **again)
    assert client.discovered()[0]["version"] == "2"
    refused = client.post(f"/apps/{told['runner_id']}/session")
    assert is_refused(refused, 503, "no capacity available for runner")


@pytest.mark.parametrize("status", ["draining", "unavailable"])
def test_a_runner_that_is_not_ready_is_as_good_as_unknown(
    status: str, client: Client, container: Container
) -> None:
    told = client.announce(runner_url=container.url)
    again = {"runner_id": told["runner_id"], "runner_url": container.url}
    session = client.reserve(told["runner_id"])
    client.post(path(session["app_url"]) + "/run")
    headers = container.requests[-1].headers
    control = headers["livepeer-session-control"]
    token = {"Livepeer-Session-Token": headers["livepeer-session-token"]}
    client.heartbeat(told["heartbeat_secret"], status=status, **again)
    assert client.discovered() == []
    for url in (f"/apps/{told['runner_id']}/session", path(session["app_url"]) + "/run"):
        assert is_refused(client.post(url), 404, "runner not found")
    assert is_refused(client.post(f"{control}/stop", headers=token), 404, "runner not found")
    client.heartbeat(told["heartbeat_secret"], status="ready", **again)
    assert client.post(path(session["app_url"]) + "/run").status_code == 200


def test_unregistering_releases_everything_at_once(client: Client) -> None:
    told = client.announce()
    session = client.reserve(told["runner_id"])
    url = f"/runners/{told['runner_id']}/unregister"
    refused = client.post(url, headers={"Authorization": SECRET})
    assert is_refused(refused, 401, "invalid authorization")
    secret = {"Authorization": told["heartbeat_secret"]}
    assert client.post(url, headers=secret).status_code == 204
    assert is_refused(client.post(url, headers=secret), 404, "runner not found")
    answer = client.post(path(session["app_url"]) + "/run")
    assert is_refused(answer, 404, "runner not found")
    assert client.get(told["o2r"]["url"] + "/-2").status_code == 404


def test_events_are_told_in_segments_of_their_own(client: Client) -> None:
    told = client.announce(capacity=2)
    session = client.reserve(told["runner_id"])
    client.post(path(session["control_url"]) + "/stop")
    messages = [client.get(f"{told['o2r']['url']}/{number}") for number in range(4)]
    assert {message.headers["Content-Type"] for message in messages} == {"application/json"}
    bodies = [message.json() for message in messages]
    events = [body for body in bodies if body != {"keep": "alive"}]
    assert 2 <= len(events) < len(bodies)
    assert [(event["event"], event["session"]) for event in events] == [
        ("reserved", session["session_id"]),
        ("released", session["session_id"]),
    ]


def test_what_is_beyond_the_queue_of_events_is_dropped() -> None:
    async def scenario() -> None:
        async with TrickleServer() as trickle:
            commands = Commands(Node("", trickle, print), "o2r", 60)
            for number in range(QUEUE_LENGTH + 8):
                commands.tell("reserved", str(number))
            channel = trickle.channels["o2r"]
            for _ in range(100):
                await asyncio.sleep(0)
            assert channel.next_index == QUEUE_LENGTH == 32
            last = channel.get(QUEUE_LENGTH - 1)
            assert last
            assert json.loads(last.data)["session"] == str(QUEUE_LENGTH - 1)
            commands.close()

    asyncio.run(scenario())


# Calls (§5.3)


def test_a_call_reaches_the_container_as_it_is(
    orchestrator: OrchestratorServer, client: Client, container: Container
) -> None:
    container.answer = lambda handler: handler.send(
        418, b"gzip!", Content_Encoding="x", Content_Type="image/png", Keep_Alive="timeout=1"
    )
    told = client.announce(runner_url=f"{container.url}/base/")
    session = client.reserve(told["runner_id"])
    assert session["app_url"] == (
        f"{PUBLIC}/apps/{told['runner_id']}/session/{session['session_id']}/app"
    )
    connection = http.client.HTTPSConnection(
        orchestrator.host, orchestrator.port, context=ssl._create_unverified_context()
    )
    headers = {
        "Livepeer-Session-Id": "mine",
        "Livepeer-Session-Token": "mine",
        "X-Custom": "kept",
        "X-Forwarded-For": "10.0.0.1",
        "Connection": "x-hop",
        "X-Hop": "1",
        "Te": "trailers",
    }
    target = path(session["app_url"]) + "/a/../b%2Fc%20d/?q=1&r=%2F"
    connection.request("PUT", target, b"\0body", headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (418, b"gzip!")
    assert answer.headers["Content-Encoding"] == "x"
    assert answer.headers["Content-Type"] == "image/png"
    assert "Keep-Alive" not in answer.headers
    connection.close()
    (received,) = container.requests
    assert received[:2] == ("PUT", "/base/b/c%20d/?q=1&r=%2F")
    assert received.body == b"\0body"
    assert received.headers["host"] == container.url.removeprefix("http://")
    assert received.headers["x-custom"] == "kept"
    assert not received.headers.keys() & {"x-forwarded-for", "x-hop", "te", "user-agent"}
    assert received.headers["livepeer-runner-route"] == told["runner_id"]
    assert received.headers["livepeer-session-id"] == session["session_id"]
    assert len(received.headers["livepeer-session-token"]) > 40
    assert received.headers["livepeer-session-control"] == (
        f"{orchestrator.url}/runner/{told['runner_id']}/session/{session['session_id']}"
    )


def test_redirects_go_to_the_caller(client: Client, container: Container) -> None:
    container.answer = lambda handler: handler.send(302, Location="/elsewhere")
    session = client.reserve(client.announce(runner_url=container.url)["runner_id"])
    answer = client.get(path(session["app_url"]) + "/x")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/elsewhere")
    assert len(container.requests) == 1


def test_bodies_are_streamed_both_ways(
    client: Client, container: Container, pool: ThreadPoolExecutor
) -> None:
    """Each side waits for what the other has said before it goes on."""
    heard, answered = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        handler.rfile.readline()  # the chunk's size
        assert handler.rfile.readline() == b"first\r\n"
        heard.set()
        handler.begin("text/event-stream")
        handler.wfile.write(b"data: 1\n\n")
        handler.wfile.flush()
        assert answered.wait(DEADLINE_SECONDS)
        handler.wfile.write(b"data: 2\n\n")

    def body() -> Iterator[bytes]:
        yield b"first"
        assert heard.wait(DEADLINE_SECONDS)
        yield b"second"

    container.answer = answer
    session = client.reserve(client.announce(runner_url=container.url)["runner_id"])
    with client.stream("POST", path(session["app_url"]) + "/x", content=body()) as streamed:
        pieces = streamed.iter_bytes()
        assert next(pieces) == b"data: 1\n\n"
        answered.set()
        assert b"".join(pieces) == b"data: 2\n\n"


def test_a_container_that_is_dead_or_breaks_off(client: Client, container: Container) -> None:
    dead = client.reserve(client.announce()["runner_id"])
    assert client.post(path(dead["app_url"]) + "/x").status_code == 502
    session = client.reserve(client.announce(runner_url=container.url)["runner_id"])
    container.answer = Handler.break_off
    assert client.get(path(session["app_url"]) + "/x").status_code == 502

    def half(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    container.answer = half
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(path(session["app_url"]) + "/x")


def test_sessions_that_are_unknown_or_stopped(client: Client, container: Container) -> None:
    runner = client.announce(runner_url=container.url)["runner_id"]
    assert is_refused(client.post("/apps/nobody/session"), 404, "runner not found")
    unknown = client.post(f"/apps/{runner}/session/none/app/x")
    assert is_refused(unknown, 404, "runner session not found")
    assert is_refused(client.post("/apps/nobody/session/s/stop"), 404, "runner not found")
    session = client.reserve(runner)
    assert client.post(f"/apps/{runner}/session").status_code == 503
    for _ in range(2):
        assert client.post(path(session["control_url"]) + "/stop").status_code == 204
    answer = client.post(path(session["app_url"]) + "/x")
    assert is_refused(answer, 404, "runner session not found")
    client.reserve(runner)
    answer = client.post(f"/apps/{runner}/app/x")
    assert is_refused(answer, 400, "runner is not single-shot")


def test_a_single_shot_holds_its_slot_for_the_request(
    client: Client, container: Container, pool: ThreadPoolExecutor
) -> None:
    going = threading.Event()

    def answer(handler: Handler) -> None:
        assert going.wait(DEADLINE_SECONDS)
        handler.send(201, b"done")

    container.answer = answer
    runner = client.announce(runner_url=container.url, mode="single_shot")["runner_id"]
    (shown,) = client.discovered()
    assert (shown["mode"], shown["url"]) == ("single-shot", f"{PUBLIC}/apps/{runner}/app")
    answer_400 = client.post(f"/apps/{runner}/session")
    assert is_refused(answer_400, 400, "only persistent runners have sessions")
    url = f"/apps/{runner}/app/run"
    job = pool.submit(client.post, url)
    eventually(lambda: client.discovered()[0]["capacity_used"] == 1, "held")
    assert is_refused(client.post(url), 503, "no capacity available for runner")
    going.set()
    assert job.result(DEADLINE_SECONDS).status_code == 201
    eventually(lambda: client.discovered()[0]["capacity_used"] == 0, "free")


def test_a_caller_that_leaves_frees_its_slot(client: Client, container: Container) -> None:
    going = threading.Event()

    def wait(handler: Handler) -> None:
        going.wait(DEADLINE_SECONDS)
        handler.break_off()

    container.answer = wait
    runner = client.announce(runner_url=container.url, mode="single-shot")["runner_id"]
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"/apps/{runner}/app/run", timeout=0.3)
    eventually(lambda: client.discovered()[0]["capacity_used"] == 0, "free")
    going.set()


def test_a_path_that_ends_in_app_is_redirected(client: Client) -> None:
    answer = client.post("/apps/r/app?q=1")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/apps/r/app/?q=1")
    answer = client.post("/apps/r/session/s/app")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/apps/r/session/s/app/")


# Callbacks of sessions (§5.4)


@pytest.fixture
def callback(client: Client, container: Container) -> Callable[..., httpx.Response]:
    """Calls back as a session that has been reserved and called."""
    session = client.reserve(client.announce(runner_url=container.url)["runner_id"])
    client.post(path(session["app_url"]) + "/start")
    headers = container.requests[-1].headers
    token = {"Livepeer-Session-Token": headers["livepeer-session-token"]}
    control = headers["livepeer-session-control"]

    def call(action: str, method: str = "POST", **options: Any) -> httpx.Response:
        return client.request(method, f"{control}/{action}", headers=token, **options)

    return call


def test_channels_are_made_once(
    callback: Callable[..., httpx.Response], orchestrator: OrchestratorServer
) -> None:
    body = {"channels": [{"name": " a/b ", "mime_type": "video/mp2t"}, {"name": "c"}]}
    first = callback("channels", json=body).json()["channels"]
    assert [(it["name"], it["mime_type"]) for it in first] == [
        ("a-b", "video/mp2t"),
        ("c", "application/octet-stream"),
    ]
    for channel in first:
        assert channel["channel_name"].endswith(f"-{channel['name']}")
        place = f"/ai/trickle/{channel['channel_name']}"
        assert channel["url"] == PUBLIC + place
        assert channel["internal_url"] == orchestrator.url + place
        assert channel["channel_name"] in orchestrator.trickle.channels
    changed = {"channels": [{"name": "a-b", "mime_type": "text/plain"}, {"name": "c"}]}
    assert callback("channels", json=changed).json()["channels"] == first


def test_channels_are_deleted_and_end_with_the_session(
    callback: Callable[..., httpx.Response], orchestrator: OrchestratorServer
) -> None:
    body = {"channels": [{"name": "a"}, {"name": "b"}]}
    a, b = (it["channel_name"] for it in callback("channels", json=body).json()["channels"])
    assert callback("channels", "DELETE", json={"channels": ["a"]}).json() == {"deleted": ["a"]}
    assert a not in orchestrator.trickle.channels
    gone = callback("channels", "DELETE", json={"channels": ["a"]})
    assert is_refused(gone, 404, "trickle channel not found")
    assert b in orchestrator.trickle.channels
    assert callback("stop").status_code == 204
    assert b not in orchestrator.trickle.channels
    assert is_refused(callback("stop"), 404, "runner session not found")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "channels is required"),
        ({"channels": []}, "channels is required"),
        ({"channels": 26 * [{"name": "a"}]}, "channels cannot contain more than 25 entries"),
        ({"channels": [{}]}, "trickle channel name is required"),
        (
            {"channels": [{"name": "a b"}]},
            "trickle channel name may only contain alphanumerics, underscores, or hyphens",
        ),
    ],
)
def test_channels_that_are_refused(
    body: dict[str, Any], message: str, callback: Callable[..., httpx.Response]
) -> None:
    assert is_refused(callback("channels", json=body), 400, message)
    assert callback("channels", json={"channels": 25 * [{"name": "a"}]}).status_code == 200


def test_callbacks_need_the_token_of_their_session(
    client: Client, container: Container, orchestrator: OrchestratorServer
) -> None:
    runner = client.announce(runner_url=container.url, capacity=2)["runner_id"]
    sessions = [client.reserve(runner) for _ in range(2)]
    for session in sessions:
        client.post(path(session["app_url"]) + "/x")
    mine, other = (received.headers for received in container.requests)
    control = mine["livepeer-session-control"]
    body = {"channels": [{"name": "a"}]}
    for token in ("", "wrong", other["livepeer-session-token"]):
        headers = {"Livepeer-Session-Token": token}
        refused = [
            client.post(f"{control}/stop", headers=headers),
            client.post(f"{control}/channels", headers=headers, json=body),
            client.request("DELETE", f"{control}/channels", headers=headers, json=body),
        ]
        assert all(is_refused(answer, 401, "invalid authorization") for answer in refused)
    unknown = f"{orchestrator.url}/runner/{runner}/session/none/stop"
    assert is_refused(client.post(unknown), 404, "runner session not found")


# Runners that the operator configures (§5.1)


def entry(container: Container, **fields: Any) -> dict[str, Any]:
    known = {"label": "one", "runner_url": container.url, "health_url": "/health"}
    return {**known, "app": "live/model", **fields}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"label": ""}, "label is required and must be trimmed"),
        ({"label": " one"}, "label is required and must be trimmed"),
        ({"routing": "name"}, 'routing must be "runner-id" or "label"'),
        ({"routing": "label", "label": "a/b"}, 'label cannot contain / when routing is "label"'),
        ({"health_url": None}, "health_url is required"),
        ({"health_url": "health"}, "invalid health_url"),
        ({"health_url": "//host/health"}, "invalid health_url"),
        ({"healthy_status_code": 99}, "healthy_status_code must be a valid HTTP status code"),
        ({"healthy_status_code": 600}, "healthy_status_code must be a valid HTTP status code"),
        ({"runner_url": "host"}, "invalid"),
        ({"mode": "once"}, "mode must be"),
        ({"capacity": -1}, "capacity must be >= 0"),
        ({"app": None}, "app must be trimmed"),
    ],
)
def test_one_wrong_entry_refuses_the_whole_file(
    fields: dict[str, Any], words: str, client: Client, container: Container
) -> None:
    runners = [entry(container), entry(container, label="two") | fields]
    answer = client.post("/registerLiveRunners", json={"runners": runners})
    assert answer.status_code == 400
    assert answer.text.startswith("runners[1]: ")
    assert words in answer.text
    assert client.discovered() == []


def test_labels_are_unique_in_a_file_and_replaced_by_the_next(
    client: Client, container: Container, orchestrator: OrchestratorServer
) -> None:
    twice = {"runners": [entry(container), entry(container)]}
    answer = client.post("/registerLiveRunners", json=twice)
    assert is_refused(answer, 400, 'runners[1]: duplicate label "one"')
    file = {"runners": [entry(container), entry(container, label="two", app="live/two")]}
    first = orchestrator.registry.register_static(json.dumps(file).encode())["runners"]
    assert first[0] == {
        "runner_id": first[0]["runner_id"],
        "label": "one",
        "app": "live/model",
        "runner_url": container.url,
        "mode": "persistent",
        "health_url": f"{container.url}/health",
        "healthy_status_code": 200,
        "healthy": True,
    }
    session = client.reserve(first[0]["runner_id"])
    changed = {"runners": [entry(container, capacity=3)]}
    second = client.post("/registerLiveRunners", json=changed).json()["runners"]
    assert second[0]["runner_id"] == first[0]["runner_id"]
    shown = {it["app"]: it for it in client.discovered()}
    assert shown.keys() == {"live/model", "live/two"}
    assert (shown["live/model"]["capacity"], shown["live/model"]["capacity_used"]) == (3, 1)
    assert client.post(path(session["app_url"]) + "/x").status_code == 200


def test_a_label_can_be_the_route(client: Client, container: Container) -> None:
    runners = [entry(container, routing="label", mode="single-shot")]
    client.post("/registerLiveRunners", json={"runners": runners})
    assert client.discovered()[0]["url"] == f"{PUBLIC}/apps/one/app"
    assert client.post("/apps/one/app/run").status_code == 200
    assert container.requests[-1].headers["livepeer-runner-route"] == "one"
    assert client.heartbeat(SECRET, runner_id="one").status_code == 401
    assert is_refused(client.heartbeat("", runner_id="one"), 400, "static runner cannot heartbeat")
    refused = client.post("/runners/one/unregister", headers={"Authorization": SECRET})
    assert refused.status_code == 400


@pytest.mark.parametrize("status", [503, 201, 500])
def test_one_miss_releases_every_session(
    status: int, container: Container, certificate: ssl.SSLContext
) -> None:
    """Healthy is exactly the status that was configured, whatever the body says."""
    misses: list[int] = []
    container.answers["/health"] = lambda handler: handler.send(
        misses.pop() if misses else 200, b'{"status": "error"}'
    )
    options = {"health_seconds": 0.05, "tls": certificate}
    with run_orchestrator(**options) as orchestrator, Client(orchestrator) as client:
        file = json.dumps({"runners": [entry(container, capacity=2)]}).encode()
        (runner,) = orchestrator.registry.register_static(file)["runners"]
        sessions = [client.reserve(runner["runner_id"]) for _ in range(2)]
        polls = len(container.requests)
        eventually(lambda: len(container.requests) > polls + 2, "polled")
        assert client.post(f"{sessions[0]['app_url']}/x").status_code == 200
        polls = len(container.requests)
        misses.append(status)
        eventually(lambda: len(container.requests) > polls + 2, "missed and healthy again")
        assert len(client.discovered()) == 1
        for session in sessions:
            answer = client.post(f"{session['app_url']}/x")
            assert is_refused(answer, 404, "runner session not found")


def test_health_is_followed_and_waited_for(
    container: Container, certificate: ssl.SSLContext
) -> None:
    container.answers["/health"] = lambda handler: handler.send(307, Location="/ready")
    container.answers["/ready"] = lambda handler: handler.send(204)
    options = {"health_seconds": 0.05, "tls": certificate}
    with run_orchestrator(**options) as orchestrator, Client(orchestrator) as client:
        file = {"runners": [entry(container, healthy_status_code=204)]}
        (told,) = client.post("/registerLiveRunners", json=file).json()["runners"]
        assert told["healthy"]
        release = threading.Event()

        def hang(handler: Handler) -> None:
            release.wait(DEADLINE_SECONDS)
            handler.break_off()

        container.answers["/ready"] = hang
        eventually(lambda: not client.discovered(), "missed after 3 s")
        release.set()


# What a test can do to it


def test_what_it_forgets_and_what_it_keeps(
    orchestrator: OrchestratorServer, client: Client
) -> None:
    told = client.announce()
    session = client.reserve(told["runner_id"])
    channel = orchestrator.trickle.create("kept")
    orchestrator.forget()
    assert client.discovered() == []
    assert client.get(f"{channel}/-1").status_code == 404
    answer = client.heartbeat(told["heartbeat_secret"], runner_id=told["runner_id"])
    assert is_refused(answer, 401, "invalid registration authorization")
    assert client.post(path(session["app_url"]) + "/x").status_code == 404
    assert client.announce(runner_id=told["runner_id"])["heartbeat_secret"]


def test_it_can_be_started_again_at_its_port(certificate: ssl.SSLContext) -> None:
    with run_orchestrator(tls=certificate) as orchestrator, Client(orchestrator) as client:
        told = client.announce()
        port = orchestrator.port
    with run_orchestrator(tls=certificate, port=port) as again, Client(again) as client:
        assert again.url == orchestrator.url
        answer = client.heartbeat(told["heartbeat_secret"], runner_id=told["runner_id"])
        assert answer.status_code == 401


def test_calls_are_kept_and_faults_come_first(
    orchestrator: OrchestratorServer, client: Client
) -> None:
    async def reset(request: web.Request) -> None:
        if request.path == "/runners/heartbeat":
            request.protocol.force_close()

    async def teapot(_: web.Request) -> web.Response:
        return web.Response(status=418)

    client.announce(version="1")
    orchestrator.fault = teapot
    assert client.heartbeat().status_code == 418
    assert client.get("/discovery").status_code == 200
    orchestrator.fault = reset
    with pytest.raises(httpx.TransportError):
        client.heartbeat()
    orchestrator.fault = None
    client.post("/runners/none/unregister", content=b"\xff")
    calls = list(orchestrator.calls)
    assert [(call.path, call.status) for call in calls][:2] == [
        ("/runners/heartbeat", 200),
        ("/runners/heartbeat", 418),
    ]
    assert calls[0].body["version"] == "1"
    assert calls[-1][1:] == ("/runners/none/unregister", 404, "\ufffd")
    assert sorted(call.at for call in calls) == [call.at for call in calls]


def test_the_command_says_what_happens_and_no_secret(tmp_path: Path, container: Container) -> None:
    (tmp_path / "secret").write_text("from-the-file\n")
    file = tmp_path / "runners.json"
    file.write_text(json.dumps({"runners": [entry(container, label="of the file")]}))
    command = [sys.executable, "-m", "standins.orchestrator", "--port", "0"]
    options = [f"--secret-file={tmp_path / 'secret'}", f"--runners={file}"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        url = lines[-1].removeprefix("serving at ").strip()
        with Client(SimpleNamespace(url=url)) as client:  # type: ignore[arg-type]
            assert len(client.discovered()) == 1
            told = client.heartbeat("from-the-file", runner_url=container.url).json()
            session = client.reserve(told["runner_id"])
            client.post(session["app_url"] + "/x?token=in-the-query")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    shown = "".join(lines) + rest
    token = container.requests[-1].headers["livepeer-session-token"]
    hidden = ("from-the-file", told["heartbeat_secret"], token, "in-the-query", "o2r")
    assert not [word for word in hidden if word in shown]
    for words in ("configured", "registered", "reserved", f"POST /x for {session['session_id']}"):
        assert words in shown


# With the official SDK


def run[T](scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, DEADLINE_SECONDS))


def test_sdk_announces_reserves_calls_and_stops(
    container: Container, certificate: ssl.SSLContext
) -> None:
    sdk = pytest.importorskip("livepeer_gateway.live_runner")
    selection = pytest.importorskip("livepeer_gateway.selection")
    events: list[tuple[str, str]] = []

    async def scenario() -> None:
        options: dict[str, Any] = {"secret": SECRET, "runner_url": container.url, "timeout": 10}
        async with (
            OrchestratorServer(tls=certificate, heartbeat_seconds=0.1) as orchestrator,
            await sdk.register_runner(
                orchestrator.url,
                **options,
                app="live/model",
                auto_detect_gpu=False,
                on_session_reserve=lambda it: events.append((it.event, it.session_id)),
                on_session_release=lambda it: events.append((it.event, it.session_id)),
            ),
        ):
            session = await selection.reserve_session(
                orchestrators=[orchestrator.url], app="live/model", timeout=10
            )
            called = await sdk.call_runner(f"{session.app_url}/run", payload={"x": 1}, timeout=10)
            assert called.data == {"path": "/run"}
            received = container.requests[-1]
            request = SimpleNamespace(headers=_Headers(received.headers))
            wanted = [{"name": "in", "mime_type": "video/mp2t"}]
            (channel,) = await sdk.create_trickle_channels(request, wanted)
            assert channel["channel_name"] in orchestrator.trickle.channels
            assert await sdk.remove_trickle_channels(request, ["in"]) == ["in"]
            await sdk.stop_runner_session(request)
            await asyncio.to_thread(eventually, lambda: len(events) == 2, "told of both")
            assert events == [("reserved", session.session_id), ("released", session.session_id)]
            runner = next(iter(orchestrator.registry.runners))
            assert not runner.sessions
        assert not list(orchestrator.registry.runners)
        assert "/unregister" in orchestrator.calls[-1].path

    run(scenario())


class _Headers(dict[str, str]):
    """Names in any case."""

    def get(self, key: str, default: Any = "") -> Any:
        return super().get(key.lower(), default)


def test_sdk_calls_a_single_shot(container: Container, certificate: ssl.SSLContext) -> None:
    sdk = pytest.importorskip("livepeer_gateway.live_runner")

    def events(handler: Handler) -> None:
        handler.begin("text/event-stream")
        handler.wfile.write(b"data: 1\n\ndata: 2\n\n")

    container.answer = events

    async def scenario() -> None:
        async with OrchestratorServer(tls=certificate) as orchestrator:
            file = {"runners": [entry(container, mode="single-shot", routing="label")]}
            await orchestrator.registry.upsert(json.dumps(file).encode())
            url = f"{orchestrator.url}/apps/one/app/run"
            async with await sdk.call_runner(url, payload={}, stream=True, timeout=10) as stream:
                lines = [line async for line in stream.aiter_lines()]
            assert lines == ["data: 1", "", "data: 2", ""]

    run(scenario())
