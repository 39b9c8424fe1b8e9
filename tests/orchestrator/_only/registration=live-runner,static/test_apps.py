"""Calls of live runners through the stand-in for an orchestrator, and callbacks of sessions."""

import asyncio
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from livepeer_gateway import live_runner as sdk
from livepeer_gateway.selection import reserve_session

from callee import Callee, Handler, run_callee
from emulator.container import DEADLINE_SECONDS, eventually
from orchestrator.certificate import self_signed
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


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


# Calls (server/ai_http.go)


def test_a_call_reaches_the_container_as_it_is(
    orchestrator: OrchestratorServer, client: Client, container: Callee
) -> None:
    container.answer = lambda handler: handler.send(
        418, b"gzip!", Content_Encoding="x", Content_Type="image/png", Keep_Alive="timeout=1"
    )
    told = client.register(runner_url=f"{container.url}/base/")
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
    target = path(session["app_url"]) + "/b%2Fc/?q=1&r=%2F"
    connection.request("PUT", target, b"\0body", headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (418, b"gzip!")
    assert answer.headers["Content-Encoding"] == "x"
    assert answer.headers["Content-Type"] == "image/png"
    assert "Keep-Alive" not in answer.headers
    connection.close()
    (received,) = container.requests
    assert received[:2] == ("PUT", "/base/b/c/?q=1&r=%2F")
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


# What go-livepeer's proxyLiveRunner asked for, behind the base path /base/.
@pytest.mark.parametrize(
    ("asked", "received"),
    [
        ("/", "/base"),
        ("/run", "/base/run"),
        ("/run/", "/base/run/"),
        ("/%2F", "/base/"),
        ("/a%20b", "/base/a%2520b"),
        ("/a%2520b", "/base/a%2520b"),
        ("/%C3%A9", "/base/%25C3%25A9"),
        ("/a%3Fb?x=1%20y&z=%zz", "/base/a%253Fb?x=1%20y&z=%zz"),
        ("/%41+(b)*;c:d@e", "/base/A+%28b%29%2A;c:d@e"),
        ("/[x]", "/base/%5Bx%5D"),
        ("/a%2F%2Fb", "/base/a/b"),
        ("/a/%2e%2e/b", "/base/b"),
        ("/%2e%2e%2f..%2fx", "/x"),
    ],
)
def test_paths_are_cleaned_and_escaped_twice(
    asked: str, received: str, client: Client, container: Callee
) -> None:
    runner = client.register(runner_url=f"{container.url}/base/", mode="single-shot")["runner_id"]
    assert ask(client, f"/apps/{runner}/app{asked}").status_code == 200
    assert container.requests[-1].target == received


@pytest.mark.parametrize(("asked", "status"), [("/%zz", 400), ("/a%25zz", 502)])
def test_paths_that_cannot_be_decoded(
    asked: str, status: int, client: Client, container: Callee
) -> None:
    runner = client.register(runner_url=container.url, mode="single-shot")["runner_id"]
    assert ask(client, f"/apps/{runner}/app{asked}").status_code == status
    assert not container.requests


def ask(client: Client, target: str) -> httpx.Response:
    """The target as it is: httpx would fix it."""
    return client.post(httpx.URL(client.base_url, raw_path=target.encode()))


def test_redirects_go_to_the_caller(client: Client, container: Callee) -> None:
    container.answer = lambda handler: handler.send(302, Location="/elsewhere")
    session = client.reserve(client.register(runner_url=container.url)["runner_id"])
    answer = client.get(path(session["app_url"]) + "/x")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/elsewhere")
    assert len(container.requests) == 1


def test_bodies_are_streamed_both_ways(
    client: Client, container: Callee, pool: ThreadPoolExecutor
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
        # What is unread when a connection closes resets it, and the answer may be lost.
        assert b"".join(handler.rfile.readline() for _ in range(4)) == b"6\r\nsecond\r\n0\r\n\r\n"
        handler.wfile.write(b"data: 2\n\n")

    def body() -> Iterator[bytes]:
        yield b"first"
        assert heard.wait(DEADLINE_SECONDS)
        yield b"second"

    container.answer = answer
    session = client.reserve(client.register(runner_url=container.url)["runner_id"])
    with client.stream("POST", path(session["app_url"]) + "/x", content=body()) as streamed:
        pieces = streamed.iter_bytes()
        assert next(pieces) == b"data: 1\n\n"
        answered.set()
        assert b"".join(pieces) == b"data: 2\n\n"


def test_a_container_that_is_dead_or_breaks_off(client: Client, container: Callee) -> None:
    dead = client.reserve(client.register()["runner_id"])
    assert client.post(path(dead["app_url"]) + "/x").status_code == 502
    session = client.reserve(client.register(runner_url=container.url)["runner_id"])
    container.answer = Handler.break_off
    assert client.get(path(session["app_url"]) + "/x").status_code == 502


@pytest.mark.parametrize(("length", "received"), [(4_000, 0), (200_000, 100_000)])
def test_the_first_of_an_answer_that_breaks_off_is_held_back(
    length: int, received: int, client: Client, container: Callee
) -> None:
    """Not even its status has been sent then."""
    container.answer = lambda handler: handler.send_half(length)
    runner = client.register(runner_url=container.url, mode="single-shot")["runner_id"]
    pieces: list[bytes] = []

    def read() -> None:
        with client.stream("GET", f"/apps/{runner}/app/x") as answer:
            pieces.extend(answer.iter_raw())

    with pytest.raises(httpx.RemoteProtocolError):
        read()
    assert len(b"".join(pieces)) == received


def test_sessions_that_are_unknown_or_stopped(client: Client, container: Callee) -> None:
    runner = client.register(runner_url=container.url)["runner_id"]
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
    client: Client, container: Callee, pool: ThreadPoolExecutor
) -> None:
    going = threading.Event()

    def answer(handler: Handler) -> None:
        assert going.wait(DEADLINE_SECONDS)
        handler.send(201, b"done")

    container.answer = answer
    runner = client.register(runner_url=container.url, mode="single_shot")["runner_id"]
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


def test_a_caller_that_leaves_frees_its_slot(client: Client, container: Callee) -> None:
    going = threading.Event()

    def wait(handler: Handler) -> None:
        going.wait(DEADLINE_SECONDS)
        handler.break_off()

    container.answer = wait
    runner = client.register(runner_url=container.url, mode="single-shot")["runner_id"]
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"/apps/{runner}/app/run", timeout=0.3)
    eventually(lambda: client.discovered()[0]["capacity_used"] == 0, "free")
    going.set()


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/apps/r/app?q=1", "/apps/r/app/?q=1"),
        ("/apps/r/session/s/app", "/apps/r/session/s/app/"),
        ("/apps/r/app/a//b%20c?q=1", "/apps/r/app/a/b%20c?q=1"),
        ("/runner//r/session/s/stop", "/runner/r/session/s/stop"),
    ],
)
def test_paths_are_cleaned_by_redirect(target: str, location: str, client: Client) -> None:
    answer = ask(client, target)
    assert (answer.status_code, answer.headers["Location"]) == (301, location)


# Callbacks of sessions


@pytest.fixture
def callback(client: Client, container: Callee) -> Callable[..., httpx.Response]:
    """Calls back as a session that has been reserved and called."""
    session = client.reserve(client.register(runner_url=container.url)["runner_id"])
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


def test_a_channel_that_has_gone_is_not_made_again(
    callback: Callable[..., httpx.Response], client: Client, orchestrator: OrchestratorServer
) -> None:
    body = {"channels": [{"name": "a"}]}
    first = callback("channels", json=body).json()["channels"]
    assert client.delete(first[0]["internal_url"]).status_code == 200
    assert callback("channels", json=body).json()["channels"] == first
    for _ in range(2):
        answer = callback("channels", "DELETE", json={"channels": ["a"]})
        assert is_refused(answer, 500, "Invalid stream")
    assert callback("channels", json=body).json()["channels"] == first
    assert client.post(f"{first[0]['internal_url']}/0", content=b"x").status_code == 404
    assert callback("stop").status_code == 204


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
    client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    runner = client.register(runner_url=container.url, capacity=2)["runner_id"]
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


# With the official SDK


def run[T](scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, DEADLINE_SECONDS))


def test_sdk_registers_reserves_calls_and_stops(
    container: Callee, certificate: ssl.SSLContext
) -> None:
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
            session = await reserve_session(
                orchestrators=[orchestrator.url], app="live/model", timeout=10
            )
            called = await sdk.call_runner(f"{session.app_url}/run", payload={"x": 1}, timeout=10)
            assert called.data == {"path": "/run"}
            received = container.requests[-1]
            request = SimpleNamespace(headers=_Headers(received.headers))
            (channel,) = await sdk.create_trickle_channels(
                request, [{"name": "in", "mime_type": "video/mp2t"}]
            )
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


def test_sdk_calls_a_single_shot(container: Callee, certificate: ssl.SSLContext) -> None:
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
