"""Drain and stop: what is in flight is answered, what is new refused; the exit code tells all."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from emulator.container import DEADLINE_SECONDS, PACKAGE, Container, StartContainer, eventually
from harness import size
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
        (cut,) = server.events("sessions cut at the deadline")
        assert cut["sessions"] == 2


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
    """A second SIGTERM is the deadline."""
    order = {"do": "stream", "values": [1], "then": "wait", "seconds": 600}
    with (
        start_server(BYOC_SHUTDOWN_GRACE_SECONDS="3600") as server,
        server.jobs.stream("POST", "/run", json=order) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "data: 1"
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("admission closed"), "admission closed")
        assert server.process.poll() is None
        assert server.stop() == 1
        rest = list(lines)
        assert rest[1] == "event: error"
        assert json.loads(rest[2][6:])["error"]["type"] == "cancelled"
        assert rest[-2:] == ["data: [DONE]", ""]


def test_drain_lets_sessions_end_by_themselves(
    start_server: StartContainer, tmp_path: Path
) -> None:
    mark, release, closed = tmp_path / "mark", tmp_path / "release", tmp_path / "closed"
    with start_server(BYOC_CAPACITY="8", CHAOS_CLOSED=str(closed)) as server:
        job = send(server, "wait_for_file", mark=str(mark), file=str(release))
        eventually(lambda: size(mark), "the model has got there")
        server.process.send_signal(signal.SIGUSR1)
        eventually(lambda: server.events("admission closed"), "admission closed")
        assert do(server, "echo").status_code == 503
        assert server.ops.get("/health").json() == {"status": "ok"}
        release.touch()
        assert job.result().json() == "seen"
        eventually(lambda: server.ops.get("/health").json() == {"status": "draining"}, "draining")
        assert server.ops.get("/health").status_code == 503
        assert server.ops.get("/livez").status_code == 200
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        assert server.stop(signal.SIGINT) == 0
        assert size(closed) == 1


def drain(server: Container, seconds: str) -> subprocess.CompletedProcess[str]:
    ops_port = str(server.ops.base_url.port)
    environment = os.environ | {"BYOC_OPS_PORT": ops_port, "BYOC_DRAIN_SECONDS": seconds}
    command = [sys.executable, "-m", PACKAGE, "drain"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=15)


def test_the_drain_command_waits_for_the_sessions(
    start_server: StartContainer, tmp_path: Path
) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    with start_server() as server:
        idle = drain(server, "0")
        assert (idle.returncode, idle.stderr) == (0, "BYOC_DRAIN_SECONDS is 0: no drain phase\n")
        assert do(server, "echo").status_code == 200
        job = send(server, "wait_for_file", mark=str(mark), file=str(release))
        eventually(lambda: size(mark), "the model has got there")
        late = drain(server, "0.1")
        assert (late.returncode, late.stderr) == (1, "sessions are still open\n")
        release.touch()
        assert drain(server, "10").returncode == 0
        assert job.result().json() == "seen"
        assert server.stop() == 0
        absent = drain(server, "10")
        assert absent.returncode == 1
        assert "BYOC_OPS_PORT" in absent.stderr
