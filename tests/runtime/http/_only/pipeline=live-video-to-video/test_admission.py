"""Admission: who is admitted, who is refused, and that a place is always freed."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from emulator.container import Container, eventually
from emulator.trickle import TrickleServer
from harness import run_server
from streaming import Caller, bunny

CLIP = bunny(size=(160, 90), frames=10, audio=False)
LIMIT = 1_048_576
TOKEN = "a-token-that-nobody-may-see"
LEGACY = "/live-video-to-video"
ROUTES = [
    ("POST", "/stream/start"),
    ("POST", "/stream/stop"),
    ("POST", "/stream/params"),
    ("GET", "/stream/status"),
    ("POST", LEGACY),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A server with two places, 0.5 s for a body, and a token."""
    with run_server(
        tmp_path_factory.mktemp("admission"),
        BYOC_CAPACITY="2",
        BYOC_BODY_TIMEOUT_SECONDS="0.5",
        BYOC_AUTH_TOKEN=TOKEN,
    ) as server:
        server.jobs.headers["Authorization"] = f"Bearer {TOKEN}"
        yield server


@pytest.fixture
def callers(small: Container, trickle: TrickleServer) -> Iterator[list[Caller]]:
    with (
        Caller(small, trickle, "one") as one,
        Caller(small, trickle, "two") as two,
        Caller(small, trickle, "three") as three,
    ):
        yield [one, two, three]
    eventually(lambda: active(small) == 0, "all sessions ended")


def active(server: Container) -> float | None:
    return server.metric("byoc_sessions_active")


def refused(answer: httpx.Response) -> str:
    """The type of the error of an answer that says when to come again."""
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    found: str = answer.json()["error"]["type"]
    return found


def test_over_capacity_is_refused_at_once(small: Container, callers: list[Caller]) -> None:
    """And nobody else notices: a place is free once a session has ended."""
    one, two, three = callers
    counted = small.errors("capacity")
    for caller in (one, two):
        caller.begin()
    assert refused(three.start({})) == "capacity"
    assert small.errors("capacity") == counted + 1
    assert active(small) == 2
    assert {one.status()["state"], two.status()["state"]} == {"streaming"}
    one.stop()
    assert active(small) == 1
    three.begin()
    two.end_input()
    eventually(lambda: active(small) == 1, "one session open")
    assert not two.status()


def test_starts_at_once_are_admitted_to_the_limit(small: Container, callers: list[Caller]) -> None:
    body = callers[0].urls
    starts = [
        small.pool.submit(
            small.jobs.post, "/stream/start", json=body, headers={"X-Stream-Id": f"crowd-{n}"}
        )
        for n in range(8)
    ]
    codes = sorted(start.result().status_code for start in starts)
    assert codes == [200, 200, *6 * [503]]
    assert active(small) == 2


def test_a_stream_runs_once(small: Container, callers: list[Caller]) -> None:
    """A second start disturbs neither the first nor its place."""
    caller = callers[0]
    caller.begin()
    starts = [small.pool.submit(caller.start, {}) for _ in range(4)]
    for start in starts:
        assert start.result().status_code == 409
        assert start.result().json()["error"]["field"] == "X-Stream-Id"
    assert active(small) == 1
    assert caller.status()["state"] == "streaming"
    assert len(caller.events("started")) == 1


def test_a_stream_whose_channels_are_gone_is_replaced(
    small: Container, trickle: TrickleServer, callers: list[Caller]
) -> None:
    """An orchestrator that was restarted sends the stream again; the old one hears of nothing."""
    caller, other, _ = callers
    caller.begin()
    eventually(lambda: caller.input.segments, "input subscribed")
    lost = trickle.channels.pop(f"{caller.id}-subscribe")
    assert caller.start({}, **other.urls).status_code == 200
    assert active(small) == 1
    eventually(lambda: other.events("started"), "started")
    (stopped,) = eventually(lambda: caller.events("stopped"), "stopped")
    assert stopped["reason"] == "cut"
    assert caller.status()["state"] == "streaming"
    assert not lost.closed


def test_a_stream_that_is_ending_may_start_again(small: Container, callers: list[Caller]) -> None:
    """Its end is awaited: it would close the channels of the new one."""
    caller, other, _ = callers
    caller.open({"do": "wait", "seconds": 1})
    caller.publish(CLIP, speed=10)
    eventually(lambda: caller.status()["frames_in"], "the model at work")
    stop = small.pool.submit(caller.stop)
    eventually(lambda: caller.status()["state"] == "stopping", "stopping")
    assert caller.start({}, **other.urls).status_code == 200
    (stopped,) = eventually(lambda: caller.events("stopped"), "stopped")
    assert stopped["reason"] == "stopped"
    assert stop.result().status_code == 200
    assert caller.status()["state"] == "streaming"
    assert active(small) == 1


def test_a_stream_may_start_again_after_its_end(small: Container, callers: list[Caller]) -> None:
    caller, other, _ = callers
    caller.begin()
    caller.stop()
    assert caller.start({}, **other.urls).status_code == 200


@contextmanager
def request(server: Container, *lines: str, path: str = "/stream/start") -> Iterator[socket.socket]:
    """A socket on which the head of a request has been written by hand."""
    head = (f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *lines, "", "")
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        connection.sendall("\r\n".join(head).encode())
        yield connection


def answer_on(connection: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


@pytest.mark.parametrize("path", ["/stream/start", "/stream/params"])
def test_a_body_that_does_not_arrive_is_408(small: Container, path: str) -> None:
    with request(small, "Content-Length: 100", "X-Stream-Id: a", path=path) as connection:
        connection.sendall(b"half")
        answer = answer_on(connection)
        assert answer.status == 408
        assert b'"timeout"' in answer.read()


@pytest.mark.parametrize("path", ["/stream/start", "/stream/params"])
@pytest.mark.parametrize("length", [f"Content-Length: {LIMIT + 1}", "Transfer-Encoding: chunked"])
def test_a_body_over_the_limit_is_413(small: Container, path: str, length: str) -> None:
    with request(small, length, "X-Stream-Id: a", path=path) as connection:
        if length.startswith("Transfer"):
            connection.sendall(b"100001\r\n" + bytes(LIMIT + 1) + b"\r\n0\r\n\r\n")
        else:
            connection.sendall(bytes(LIMIT + 1))
        answer = answer_on(connection)
        assert answer.status == 413
        assert b'"body"' in answer.read()


def test_a_caller_who_hangs_up_costs_no_place(small: Container) -> None:
    cancelled = small.errors("cancelled")
    with request(small, "Content-Length: 100") as connection:
        connection.sendall(b"half")
    eventually(lambda: small.errors("cancelled") == cancelled + 1, "cancelled counted")
    assert active(small) == 0


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("value", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä"])
def test_a_wrong_token_is_401(small: Container, method: str, path: str, value: str) -> None:
    before = small.errors("auth")
    headers = {b"Authorization": value.encode("latin-1"), b"X-Stream-Id": b"a"}
    answer = small.jobs.request(method, path, headers=headers)
    assert answer.status_code == 401
    if path == LEGACY:
        assert set(answer.json()["detail"]) == {"msg"}
    else:
        assert answer.json()["error"]["type"] == "auth"
        assert answer.json()["error"]["field"] == "Authorization"
    assert TOKEN not in answer.text
    assert small.errors("auth") == before + 1


def test_a_wrong_token_stops_nothing(small: Container, callers: list[Caller]) -> None:
    caller = callers[0]
    caller.begin()
    headers = {"Authorization": "Bearer x", "X-Stream-Id": caller.id}
    assert small.jobs.post("/stream/stop", headers=headers).status_code == 401
    assert caller.status()["state"] == "streaming"


def test_nothing_but_a_wrong_token_is_401(small: Container) -> None:
    """Orchestrators drop the capability on a 401."""
    answers = [small.jobs.request(method, path) for method, path in ROUTES]
    answers += [small.jobs.post("/nothing"), small.jobs.get("/stream/start")]
    answers.append(small.jobs.get("/health", headers={"Authorization": ""}))
    assert 401 not in {answer.status_code for answer in answers}
    assert answers[-1].status_code == 200
    assert small.ops.get("/health").status_code == 200
