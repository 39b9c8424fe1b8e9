"""Drain and stop: what is in flight is answered, what is new refused; the exit code tells all."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from harness import signal_again, size, with_constants
from jobs import do, send

LARGE_BODY = bytes(16_000_000)  # more than sockets hold: the answer comes while it is sent


def test_jobs_in_flight_are_answered(start_server: StartContainer, tmp_path: Path) -> None:
    """1. Jobs run and wait. 2. SIGTERM. 3. New ones are refused. 4. The old ones are answered."""
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    stream = {"values": [1], "then": "wait_for_file", **order}
    with start_server(BYOC_CAPACITY="8") as server:
        jobs = [send(server, "wait_for_file", **order) for _ in range(3)]
        streams = [send(server, "stream", **stream) for _ in range(2)]
        eventually(
            lambda: size(mark) and server.metric("byoc_sessions_active") == 5, "5 sessions open"
        )
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("admission closed"), "admission closed")
        refused = do(server, "echo")
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
        assert refused.headers["Retry-After"]
        assert refused.headers["Connection"] == "close"
        until = time.monotonic() + 0.5  # a server that closes its socket first would have done so
        while time.monotonic() < until:
            assert do(server, "echo").status_code == 503
        late = HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
        late.request("POST", "/run", LARGE_BODY)
        assert late.getresponse().status == 503
        late.close()
        assert server.ops.get("/health").json() == {"status": "ok"}
        release.touch()
        assert [job.result().json() for job in jobs] == 3 * ["seen"]
        assert all(answer.result().text.endswith("data: [DONE]\n\n") for answer in streams)
        assert server.wait_exit() == 0


class Work:
    """A job that ends when it is told to."""

    def __init__(self, folder: Path) -> None:
        self._mark, self._release = folder / "mark", folder / "release"

    def send(self, server: Container) -> Future[httpx.Response]:
        job = send(server, "wait_for_file", mark=str(self._mark), file=str(self._release))
        eventually(lambda: size(self._mark), "the model has got there")
        return job

    def end(self) -> None:
        self._release.touch()


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


class SlowReader:
    """A caller who does not read before it is told to, and for whom the kernel holds little."""

    def __init__(self, server: Container, **order: Any) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(DEADLINE_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", server.port))
        body = json.dumps(order).encode()
        head = f"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        self._socket.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)

    def wait_for_the_beginning(self) -> None:
        assert self._socket.recv(1, socket.MSG_PEEK)

    def read(self) -> bytes:
        with self._socket, HTTPResponse(self._socket) as answer:
            answer.begin()
            return answer.read()


def once(server: Container) -> None:
    server.process.send_signal(signal.SIGTERM)


def twice(server: Container) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        server.process.send_signal(number)


def to_the_group(server: Container) -> None:
    """As a terminal does: `uv run` passes on what it gets."""
    os.killpg(server.process.pid, signal.SIGINT)


def to_every_process(server: Container) -> None:
    """As systemd does."""
    for process in (server.process.pid, server.worker()):
        os.kill(process, signal.SIGTERM)


UV = "setsid uv run --no-project"


@pytest.mark.parametrize(
    ("stop", "within"),
    [(once, ""), (twice, ""), (to_the_group, UV), (to_every_process, "")],
)
def test_one_stop_may_come_as_several_signals(
    start_server: StartContainer,
    work: Work,
    stop: Callable[[Container], None],
    within: str,
) -> None:
    with start_server(BYOC_SHUTDOWN_GRACE_SECONDS="3600", within=within) as server:
        job = work.send(server)
        stop(server)
        (waiting,) = eventually(lambda: server.events("stopping"), "stopping")
        assert (waiting["sessions"], round(waiting["seconds_left"], -2)) == (1, 3600)
        work.end()
        assert job.result().json() == "seen"
        assert server.wait_exit() == 0
        assert len(server.events("admission closed")) == 1
        assert [it["in_time"] for it in server.events("stopped")] == [True]


def test_at_the_deadline_open_jobs_are_answered_503(
    start_server: StartContainer, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    with start_server(BYOC_CAPACITY="8", BYOC_SHUTDOWN_GRACE_SECONDS="2") as server:
        jobs = [send(server, "wait", seconds=600, mark=str(mark)) for _ in range(2)]
        eventually(
            lambda: size(mark) and server.metric("byoc_sessions_active") == 2, "2 sessions open"
        )
        assert server.stop() == 1
        for job in jobs:
            answer = job.result()
            assert (answer.status_code, answer.json()["error"]["type"]) == (503, "cancelled")
            assert answer.headers["Retry-After"]
        (cut,) = server.events("sessions cut")
        assert (cut["sessions"], cut["cause"]) == (2, "deadline")


def test_at_the_deadline_a_body_on_its_way_is_answered_503(start_server: StartContainer) -> None:
    with (
        start_server(BYOC_SHUTDOWN_GRACE_SECONDS="2") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_SECONDS) as caller,
    ):
        caller.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        eventually(lambda: server.metric("byoc_sessions_active") == 1, "one session open")
        assert server.stop() == 1
        assert caller.recv(100).startswith(b"HTTP/1.1 503 ")


def test_at_the_deadline_open_streams_are_ended(start_server: StartContainer) -> None:
    """Which a second SIGTERM brings on."""
    order = {"do": "stream", "values": [1], "then": "wait", "seconds": 600}
    with (
        start_server(BYOC_SHUTDOWN_GRACE_SECONDS="3600") as server,
        server.jobs.stream("POST", "/run", json=order) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "data: 1"
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("stopping"), "stopping")
        signal_again(server)
        assert server.wait_exit() == 1
        rest = list(lines)
        assert rest[1] == "event: error"
        assert json.loads(rest[2][6:])["error"]["type"] == "cancelled"
        assert rest[-2:] == ["data: [DONE]", ""]


def test_a_drain_lets_jobs_end_by_themselves(start_server: StartContainer, work: Work) -> None:
    """And then there is nothing to wait for."""
    with start_server(BYOC_CAPACITY="8", BYOC_DRAIN_SECONDS="3600") as server:
        job = work.send(server)
        server.process.send_signal(signal.SIGTERM)
        (waiting,) = eventually(lambda: server.events("draining"), "draining")
        assert (waiting["sessions"], round(waiting["seconds_left"], -2)) == (1, 3600)
        refused = do(server, "echo")
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
        assert server.ops.get("/health").json() == {"status": "ok"}
        work.end()
        assert job.result().json() == "seen"
        assert server.wait_exit() == 0
        assert not server.events("drain ended")


def test_a_drain_has_an_end(start_server: StartContainer, work: Work) -> None:
    with start_server(BYOC_DRAIN_SECONDS="0.5", BYOC_SHUTDOWN_GRACE_SECONDS="2") as server:
        job = work.send(server)
        assert server.stop() == 1
        assert job.result().status_code == 503
        for event in ("drain ended", "sessions cut"):
            (told,) = server.events(event)
            assert (told["sessions"], told["cause"]) == (1, "deadline")


def test_the_next_signal_ends_a_drain_and_one_more_cuts(
    start_server: StartContainer, work: Work
) -> None:
    endless = {"BYOC_DRAIN_SECONDS": "3600", "BYOC_SHUTDOWN_GRACE_SECONDS": "3600"}
    with start_server(**endless) as server:
        job = work.send(server)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("draining"), "draining")
        signal_again(server, signal.SIGINT)
        eventually(lambda: server.events("stopping"), "stopping")
        assert [it["cause"] for it in server.events("drain ended")] == ["SIGINT"]
        assert not job.done()
        signal_again(server)
        assert server.wait_exit() == 1
        assert job.result().status_code == 503
        assert [it["cause"] for it in server.events("sessions cut")] == ["SIGTERM"]


LARGE = {"do": "bytes", "size": 20_000_000}
EVENTS = {"do": "stream", "values": 300 * [60_000 * "x"]}
# As what the kernel has no room for when the session ends, whatever its room is.
IN_ONE_PIECE = with_constants("runtime.sessions.batch", PIECE_BYTES=2**30)


@pytest.mark.parametrize(
    ("order", "arguments", "open_sessions", "last"),
    [
        (LARGE, None, 1, b"\0"),
        (LARGE, IN_ONE_PIECE, 0, b"\0"),
        (EVENTS, None, 1, b"data: [DONE]\n\n"),
    ],
    ids=["large", "rest", "events"],
)
def test_an_answer_is_sent_to_its_last_byte(
    start_server: StartContainer,
    order: dict[str, Any],
    arguments: list[str] | None,
    open_sessions: int,
    last: bytes,
) -> None:
    patient = {"BYOC_SEND_TIMEOUT_SECONDS": "3600", "BYOC_SHUTDOWN_GRACE_SECONDS": "3600"}
    with start_server(arguments=arguments, **patient) as server:
        caller = SlowReader(server, **order)
        caller.wait_for_the_beginning()
        server.process.send_signal(signal.SIGTERM)
        (waiting,) = eventually(lambda: server.events("stopping"), "stopping")
        assert (waiting["sessions"], waiting["answers"]) == (open_sessions, 1 - open_sessions)
        answer = caller.read()
        assert len(answer) >= order.get("size", 18_000_000)
        assert answer.endswith(last)
        assert server.wait_exit() == 0
        assert [it["in_time"] for it in server.events("stopped")] == [True]


@pytest.mark.parametrize("arguments", [None, IN_ONE_PIECE], ids=["large", "rest"])
def test_who_does_not_read_is_cut_at_the_deadline(
    start_server: StartContainer, arguments: list[str] | None
) -> None:
    with start_server(arguments=arguments, BYOC_SHUTDOWN_GRACE_SECONDS="2") as server:
        caller = SlowReader(server, **LARGE)
        caller.wait_for_the_beginning()
        assert server.stop() == 1
        (cut,) = server.events("sessions cut")
        assert cut["sessions"] + cut["answers"] == 1
        with pytest.raises((IncompleteRead, ConnectionError)):
            caller.read()


def test_caller_that_stops_reading_loses_the_session(start_server: StartContainer) -> None:
    with start_server(BYOC_SEND_TIMEOUT_SECONDS="0.2") as server:
        caller = SlowReader(server, **LARGE)
        eventually(lambda: server.errors("timeout") == 1, "given up")
        assert server.metric("byoc_sessions_active") == 0
        assert do(server, "echo").status_code == 200
        assert server.stop() == 0
        with pytest.raises((IncompleteRead, ConnectionError)):
            caller.read()
