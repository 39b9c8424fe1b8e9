"""Admission: who is admitted, who is refused, and that a place is always freed."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulator.container import Container, StartContainer, eventually
from harness import run_server, size
from jobs import do, send

LIMIT = 1_000_000
TOKEN = "a-token-that-nobody-may-see"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A server with two slots, a limit of 1 MB, 0.5 s for a body, and a token."""
    with run_server(
        tmp_path_factory.mktemp("admission"),
        BYOC_CAPACITY="2",
        BYOC_MAX_BODY_BYTES=str(LIMIT),
        BYOC_BODY_TIMEOUT_SECONDS="0.5",
        BYOC_AUTH_TOKEN=TOKEN,
    ) as server:
        server.jobs.headers["Authorization"] = f"Bearer {TOKEN}"
        yield server


@contextmanager
def request(server: Container, *lines: str) -> Iterator[socket.socket]:
    """A socket on which the head of a request has been written by hand."""
    head = ("POST /run HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *lines, "", "")
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        connection.sendall("\r\n".join(head).encode())
        yield connection


def answer_on(connection: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


def test_over_capacity_is_refused_at_once(small: Container, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running = [send(small, "wait_for_file", file=str(release)) for _ in range(2)]
    eventually(lambda: small.metric("byoc_sessions_active") == 2, "2 sessions open")
    refused = do(small, "echo")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["type"] == "capacity"
    assert not any(job.done() for job in running)
    release.touch()
    assert [job.result().json() for job in running] == ["seen", "seen"]
    eventually(lambda: small.metric("byoc_sessions_active") == 0, "no session open")
    assert do(small, "echo").status_code == 200


def test_a_refusal_does_not_wait_for_the_body(small: Container, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running = [send(small, "wait_for_file", file=str(release)) for _ in range(2)]
    eventually(lambda: small.metric("byoc_sessions_active") == 2, "2 sessions open")
    with request(small, "Content-Length: 1000") as connection:
        assert answer_on(connection).status == 503
    release.touch()
    assert [job.result().status_code for job in running] == [200, 200]


def test_calls_reach_the_model_one_at_a_time(small: Container, tmp_path: Path) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    running = [send(small, "wait_for_file", **order) for _ in range(2)]
    eventually(lambda: small.metric("byoc_sessions_active") == 2 and size(mark), "2 sessions open")
    assert size(mark) == 1
    release.touch()
    assert [job.result().status_code for job in running] == [200, 200]
    assert size(mark) == 2


def test_model_without_max_parallel_is_called_by_one_thread(start_server: StartContainer) -> None:
    with start_server(BYOC_MODEL="chaos:Bare", BYOC_CAPACITY="4") as server:
        assert [event["slots"] for event in server.events("model loaded")] == [1]
        assert do(server, "anything").json() == "bare"


def test_a_caller_who_hangs_up_frees_the_slot(small: Container, tmp_path: Path) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    cancelled = small.errors("cancelled")
    body = f'{{"do": "wait_for_file", "file": "{release}", "mark": "{mark}"}}'.encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    with request(small, *head) as running, request(small, *head) as waiting:
        running.sendall(body)
        eventually(lambda: size(mark), "the model has got there")
        waiting.sendall(body)
        eventually(lambda: small.metric("byoc_sessions_active") == 2, "2 sessions open")
    eventually(lambda: small.metric("byoc_sessions_active") == 0, "no session open")
    eventually(lambda: small.errors("cancelled") == cancelled + 2, "both counted")
    release.touch()
    assert do(small, "echo").status_code == 200
    assert size(mark) == 1, "the model was given a job that nobody waits for"


def test_a_caller_who_hangs_up_ends_the_stream(small: Container, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    body = f'{{"do": "endless", "closed": "{closed}"}}'.encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    with request(small, *head) as connection:
        connection.sendall(body)
        assert answer_on(connection).status == 200
    eventually(lambda: size(closed), "the model has got there")
    assert do(small, "echo").status_code == 200


def test_a_body_that_breaks_off_frees_the_slot(small: Container) -> None:
    cancelled, frames_in = small.errors("cancelled"), small.metric("byoc_frames_in_total")
    with request(small, "Content-Length: 100") as connection:
        connection.sendall(b"half")
        eventually(lambda: small.metric("byoc_sessions_active") == 1, "one session open")
    eventually(lambda: small.metric("byoc_sessions_active") == 0, "no session open")
    eventually(lambda: small.errors("cancelled") == cancelled + 1, "counted")
    assert small.metric("byoc_frames_in_total") == frames_in


def test_a_body_that_does_not_arrive_is_408(small: Container) -> None:
    with request(small, "Content-Length: 100") as connection:
        connection.sendall(b"half")
        answer = answer_on(connection)
        assert answer.status == 408
        assert b'"timeout"' in answer.read()


@pytest.mark.parametrize("length", ["Content-Length: 1000001", "Transfer-Encoding: chunked"])
def test_a_body_over_the_limit_is_413(small: Container, length: str) -> None:
    """And the connection lives on: a reset would make an orchestrator drop the capability."""
    with request(small, "Content-Type: text/plain", length) as connection:
        if length.startswith("Transfer"):
            connection.sendall(b"f4241\r\n" + bytes(LIMIT + 1) + b"\r\n0\r\n\r\n")
        answer = answer_on(connection)
        assert answer.status == 413
        assert b'"body"' in answer.read()
        if length.startswith("Content"):
            connection.sendall(bytes(LIMIT + 1))
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_on(connection).status == 200


def test_a_body_of_the_limit_is_served(small: Container) -> None:
    answer = small.jobs.post("/run", content=bytes(LIMIT), headers={"Content-Type": "a/b"})
    assert answer.content == bytes(LIMIT)


@pytest.mark.parametrize("value", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä"])
def test_a_wrong_token_is_401(small: Container, value: str) -> None:
    before = small.errors("auth")
    headers = {b"Authorization": value.encode("latin-1")}
    answer = small.jobs.post("/run", json={"do": "echo"}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "auth"
    assert small.errors("auth") == before + 1


def test_nothing_but_a_wrong_token_is_401(small: Container) -> None:
    """Orchestrators drop the capability on a 401."""
    answers = [do(small, name) for name in ("refuse", "fail", "leave", "unsendable", "unknown")]
    answers.append(small.jobs.post("/nothing"))
    answers.append(small.jobs.get("/health", headers={"Authorization": ""}))
    assert 401 not in {answer.status_code for answer in answers}
