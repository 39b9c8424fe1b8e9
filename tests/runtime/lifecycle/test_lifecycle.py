"""How the container comes up and ends, whatever its model works on."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulator.container import (
    DEADLINE_SECONDS,
    FREE_PORTS,
    PACKAGE,
    Container,
    StartContainer,
    eventually,
)
from harness import CHAOS, size, spawn
from my_model.runtime.http.server import KEEP_ALIVE_SECONDS
from my_model.runtime.worker.supervisor import MAX_DELAY_SECONDS, longer

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
USUAL_KEEP_ALIVE_SECONDS = 5  # of uvicorn, unless it is told otherwise


class IdleConnection:
    """A connection that has been used once and then left alone."""

    def __init__(self, server: Container) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, DEADLINE_SECONDS)
        self.connection.request("GET", "/health")
        self.connection.getresponse().read()
        self.since = time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def idle(server: Container) -> Iterator[IdleConnection]:
    """Left alone from the first test on."""
    idle = IdleConnection(server)
    yield idle
    idle.connection.close()


def test_a_model_that_fails_to_load_ends_the_container(start_server: StartContainer) -> None:
    with start_server(ready=False, CHAOS_LOAD="crash") as server:
        assert server.ops.get("/health").json() == {"status": "loading"}
        assert server.wait_exit() == 1
        assert len(server.events("worker failed to start")) == 3
        assert [event["reason"] for event in server.events("model unavailable")]


def test_a_model_that_loads_for_ever_ends_the_container(start_server: StartContainer) -> None:
    with start_server(ready=False, CHAOS_LOAD="wait", BYOC_LOAD_TIMEOUT_SECONDS="0.8") as server:
        assert server.wait_exit() == 1
        (event,) = server.events("model unavailable")
        assert "0.8 s" in event["reason"]


def test_a_model_that_can_not_be_imported_ends_the_container(start_server: StartContainer) -> None:
    with start_server(ready=False, BYOC_MODEL="nowhere:Model") as server:
        assert server.wait_exit() == 1
        assert "No module named 'nowhere'" in server.log()


def test_a_log_that_nobody_reads_costs_nothing() -> None:
    """As of a terminal that has been closed, or piped to what has ended."""
    command = [sys.executable, "-m", PACKAGE]
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("BYOC_")}
    process = subprocess.Popen(
        command, env=inherited | FREE_PORTS | CHAOS, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        lines = map(json.loads, process.stderr)
        port = next(line["ops_port"] for line in lines if line["event"] == "listening")
        process.stderr.close()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as ops:
            eventually(lambda: ops.get("/health").status_code == 200, "healthy")
        process.terminate()
        assert process.wait(DEADLINE_SECONDS) == 0
    finally:
        process.kill()


def test_the_back_off_is_bounded() -> None:
    pauses = [0.0]
    while len(pauses) < 20:
        pauses.append(longer(pauses[-1]))
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_DELAY_SECONDS <= 10


def test_idle_connections_are_kept_for_orchestrators(idle: IdleConnection) -> None:
    """They reuse one for up to 90 s; a server that closes it first loses its capability."""
    assert KEEP_ALIVE_SECONDS > 90
    time.sleep(max(0, idle.since + USUAL_KEEP_ALIVE_SECONDS + 0.5 - time.monotonic()))
    idle.connection.request("GET", "/health")
    assert idle.connection.getresponse().status == 200


def test_an_idle_server_stops(start_server: StartContainer, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    with start_server(CHAOS_CLOSED=str(closed)) as server:
        worker = server.worker()
        assert server.stop() == 0
        assert size(closed) == 1
        assert not Path(f"/proc/{worker}").exists()
        assert [event["in_time"] for event in server.events("stopped")] == [True]


def test_a_model_that_does_not_close_is_killed(start_server: StartContainer) -> None:
    with start_server(CHAOS_CLOSE="wait", BYOC_SHUTDOWN_GRACE_SECONDS="2") as server:
        worker = server.worker()
        assert server.stop() == 1
        assert not Path(f"/proc/{worker}").exists()
        assert [it["cause"] for it in server.events("model's process killed")] == ["deadline"]


def test_a_model_that_closes_badly_is_not_killed(start_server: StartContainer) -> None:
    with start_server(CHAOS_CLOSE="crash") as server:
        assert server.stop() == 0
        assert [it["exit_code"] for it in server.events("worker ended badly")] == [-signal.SIGABRT]
        assert not server.events("model's process killed")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_while_python_starts(tmp_path: Path, number: signal.Signals) -> None:
    """The first import from outside is late, and says that it has begun."""
    begun = tmp_path / "begun"
    (tmp_path / "pydantic.py").write_text(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(600)\n"
    )
    process = spawn(tmp_path / "log", ["-m", PACKAGE], PYTHONPATH=str(tmp_path))
    eventually(begun.exists, "Python has begun")
    process.send_signal(number)
    assert process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_while_the_model_loads(start_server: StartContainer, number: signal.Signals) -> None:
    with start_server(ready=False, CHAOS_LOAD="wait") as server:
        assert server.ops.get("/health").json() == {"status": "loading"}
        assert server.ops.get("/health").status_code == 503
        assert server.ops.get("/livez").status_code == 200
        assert server.stop(number) == 0
        assert [it["signal"] for it in server.events("admission closed")] == [number.name]


def test_a_hang_up_that_nohup_ignores_stays_ignored(start_server: StartContainer) -> None:
    with start_server(within="nohup") as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.ops.get("/health").json() == {"status": "ok"}
        assert server.stop() == 0
        assert [it["signal"] for it in server.events("admission closed")] == ["SIGTERM"]


def test_stop_while_the_model_restarts(start_server: StartContainer, tmp_path: Path) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    with start_server(
        CHAOS_LOAD="wait_for_file_when_second", CHAOS_MARK=str(mark), CHAOS_FILE=str(release)
    ) as server:
        os.kill(server.worker(), signal.SIGKILL)
        eventually(lambda: size(mark) == 2, "the model has got there")
        assert server.stop() == 0
