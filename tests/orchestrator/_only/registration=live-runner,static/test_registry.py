"""How the stand-in for an orchestrator comes to know of live runners, and forgets them."""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web

from callee import Callee, Handler, run_callee
from emulator.container import DEADLINE_SECONDS, eventually
from emulator.trickle import TrickleServer
from harness import ROOT
from orchestrator.certificate import self_signed
from orchestrator.node import Node
from orchestrator.runners import QUEUE_LENGTH, Commands
from orchestrator.server import OrchestratorServer, run_orchestrator
from runner_client import PUBLIC, SECRET, Client, entry, is_refused, path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def orchestrator(certificate: ssl.SSLContext) -> Iterator[OrchestratorServer]:
    with run_orchestrator(tls=certificate, service_url=PUBLIC, o2r_seconds=0.5) as server:
        yield server


@pytest.fixture
def client(orchestrator: OrchestratorServer) -> Iterator[Client]:
    with Client(orchestrator) as client:
        yield client


@pytest.fixture
def container() -> Iterator[Callee]:
    with run_callee() as container:
        yield container


# Heartbeats (ai/runner/live_runner.go)


def test_only_the_first_heartbeat_is_told_the_secret_and_the_channel(
    orchestrator: OrchestratorServer, client: Client
) -> None:
    first = client.register()
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
        first = client.register()
        assert (first["heartbeat_interval"], first["heartbeat_ttl"]) == told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runner_url": ""}, "invalid runner_url"),
        ({"runner_url": "/relative"}, "invalid runner_url"),
        ({"runner_url": "ftp://host"}, "invalid runner_url"),
        ({"runner_url": "http://"}, "invalid runner_url"),
        ({"runner_url": "http://a:b"}, "invalid runner_url"),
        ({"runner_url": "http://a b"}, "invalid runner_url"),
        ({"runner_url": " http://a"}, "invalid runner_url"),
        ({"runner_url": "http://a#b"}, "invalid runner_url"),
        ({"runner_url": "http://a/%zz"}, "invalid runner_url"),
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
    runner = client.register()["runner_id"]
    refused = client.heartbeat(SECRET, runner_id=runner)
    assert is_refused(refused, 401, "invalid heartbeat authorization")
    with run_orchestrator(secret="", tls=certificate) as open_to_all, Client(open_to_all) as other:
        disabled = "dynamic live runner registration is disabled"
        assert is_refused(other.heartbeat(""), 404, disabled)


def test_a_runner_without_heartbeats_is_forgotten_with_its_sessions(
    certificate: ssl.SSLContext,
) -> None:
    options = {"heartbeat_seconds": 2, "ttl_seconds": 0.5, "tls": certificate}
    with run_orchestrator(**options) as orchestrator, Client(orchestrator) as client:
        told = client.register()
        client.reserve(told["runner_id"])
        secret = told["heartbeat_secret"]
        eventually(lambda: not client.discovered(), "gone from discovery")
        answer = client.heartbeat(secret, runner_id=told["runner_id"])
        assert is_refused(answer, 404, "runner not found")
        eventually(lambda: not list(orchestrator.registry.runners), "removed")
        answer = client.heartbeat(secret, runner_id=told["runner_id"])
        assert is_refused(answer, 401, "invalid registration authorization")
        assert client.get(told["o2r"]["url"] + "/-2").status_code == 404
        assert client.register(runner_id=told["runner_id"])["session_ids"] == []


def test_a_heartbeat_changes_what_it_says_and_no_session(client: Client) -> None:
    told = client.register(capacity=0)
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
    status: str, client: Client, container: Callee
) -> None:
    told = client.register(runner_url=container.url)
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
    told = client.register()
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
    told = client.register(capacity=2)
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


# Runners that the operator configures


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
    fields: dict[str, Any], words: str, client: Client, container: Callee
) -> None:
    runners = [entry(container), entry(container, label="two") | fields]
    answer = client.post("/registerLiveRunners", json={"runners": runners})
    assert answer.status_code == 400
    assert answer.text.startswith("runners[1]: ")
    assert words in answer.text
    assert client.discovered() == []


def test_labels_are_unique_in_a_file_and_replaced_by_the_next(
    client: Client, container: Callee, orchestrator: OrchestratorServer
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


def test_a_label_can_be_the_route(client: Client, container: Callee) -> None:
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
    status: int, container: Callee, certificate: ssl.SSLContext
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


def test_health_is_followed_and_waited_for(container: Callee, certificate: ssl.SSLContext) -> None:
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
    told = client.register()
    session = client.reserve(told["runner_id"])
    channel = orchestrator.trickle.create("kept")
    orchestrator.forget()
    assert client.discovered() == []
    assert client.get(f"{channel}/-1").status_code == 404
    answer = client.heartbeat(told["heartbeat_secret"], runner_id=told["runner_id"])
    assert is_refused(answer, 401, "invalid registration authorization")
    assert client.post(path(session["app_url"]) + "/x").status_code == 404
    assert client.register(runner_id=told["runner_id"])["heartbeat_secret"]


def test_it_can_be_started_again_at_its_port(certificate: ssl.SSLContext) -> None:
    with run_orchestrator(tls=certificate) as orchestrator, Client(orchestrator) as client:
        told = client.register()
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

    client.register(version="1")
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_what_happens_and_no_secret(
    number: signal.Signals, tmp_path: Path, container: Callee
) -> None:
    (tmp_path / "secret").write_text("from-the-file\n")
    file = tmp_path / "runners.json"
    file.write_text(json.dumps({"runners": [entry(container, label="of the file")]}))
    command = [sys.executable, "-m", "orchestrator.server", "--port", "0"]
    options = [f"--secret-file={tmp_path / 'secret'}", f"--runners={file}"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        url = lines[-1].removeprefix("serving at ").strip()
        with Client(SimpleNamespace(url=url)) as client:  # type: ignore[arg-type]
            assert len(client.discovered()) == 1
            told = client.heartbeat("from-the-file", runner_url=container.url).json()
            session = client.reserve(told["runner_id"])
            client.post(session["app_url"] + "/x?token=in-the-query")
        process.send_signal(number)
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
