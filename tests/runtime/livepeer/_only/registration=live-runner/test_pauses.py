"""How often the orchestrator is told: as it says, and slower and slower where it fails."""

import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from emulator.container import PACKAGE, Container, eventually
from heartbeats import accepted, heartbeats, registered, runners
from orchestrator.server import Call, OrchestratorServer, run_orchestrator
from registering import SECRET, attempts, free_port, run_registering, wait_confirmed

# Every 0.5 s, since three heartbeats are due in a lifetime; and for 30 s what has expired is not
# removed but answered 404.
BRIEF = {"heartbeat_seconds": 30, "ttl_seconds": 1.5}
# What the container leaves between two words, as the other end may measure it.
PAUSE_SECONDS = 0.45
# A container whose main loop can be made to stand still.
STUCK = f"""
import json, runpy, signal, sys, time
def tell(event):
    print(json.dumps({{"event": event}}), file=sys.stderr, flush=True)
def stick(*_):
    tell("stuck")
    time.sleep(3)
    tell("no longer stuck")
signal.signal(signal.SIGUSR2, stick)
runpy.run_module({PACKAGE!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with free_port() as port:
        yield port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Container]:
    """It looks for its orchestrator where each test starts one of its own."""
    folder, url = tmp_path_factory.mktemp("pauses"), f"https://127.0.0.1:{port}"
    with run_registering(folder, url) as server:
        yield server


@pytest.fixture
def orchestrator(port: int) -> Iterator[OrchestratorServer]:
    with run_orchestrator(port=port, secret=SECRET, **BRIEF) as orchestrator:
        yield orchestrator


def gaps(calls: list[Call]) -> list[float]:
    return [later.at - call.at for call, later in pairwise(calls)]


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=503)


def test_heartbeats_come_before_the_orchestrator_forgets(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """And not more often than every 0.5 s."""
    runner = registered(orchestrator)
    eventually(lambda: len(accepted(orchestrator)) >= 6, "heartbeats")
    assert runners(orchestrator) == [runner]
    assert min(gaps(accepted(orchestrator))) > PAUSE_SECONDS
    assert (server.metric("byoc_registration_age_seconds") or 99) < BRIEF["ttl_seconds"]


def test_heartbeats_are_as_frequent_as_the_orchestrator_says(server: Container, port: int) -> None:
    """Whatever the container's own interval is, which is for failures."""
    says = {"heartbeat_seconds": 1.5, "ttl_seconds": 600}
    with run_orchestrator(port=port, secret=SECRET, **says) as orchestrator:
        eventually(lambda: len(accepted(orchestrator)) >= 3, "heartbeats")
        assert min(gaps(accepted(orchestrator))) > 1.2


def test_failures_are_followed_by_longer_and_uneven_pauses(server: Container, port: int) -> None:
    """Up to the interval of 1 s. The log and the counter of errors tell of it once."""
    says = {"heartbeat_seconds": 1.5, "ttl_seconds": 600}
    with run_orchestrator(port=port, secret=SECRET, **says) as orchestrator:
        registered(orchestrator)
        wait_confirmed(server)
        errors, refused = server.errors("registration"), attempts(server, "refused")
        told = len(server.events("registration fails"))
        orchestrator.fault = fail

        def failed() -> list[Call]:
            return [call for call in heartbeats(orchestrator) if call.status == 503]

        eventually(lambda: len(failed()) >= 7, "failures")
        first, *others = gaps(failed())
        assert first > 0.2
        assert min(others) > 0.45
        assert 0.03 < max(others) - min(others) < 1.5
        eventually(lambda: attempts(server, "refused") >= refused + 7, "seven more refusals")
        assert server.errors("registration") == errors + 1
        assert len(server.events("registration fails")) == told + 1
        assert server.metric("byoc_registered") == 0
        assert server.ops.get("/health").json() == {"status": "ok"}
        orchestrator.fault = None
        wait_confirmed(server)


def test_heartbeats_go_on_while_the_container_is_stuck(tmp_path: Path) -> None:
    """On SIGUSR2 its main loop stands still for longer than a runner is remembered."""
    with (
        run_orchestrator(secret=SECRET, **BRIEF) as orchestrator,
        run_registering(tmp_path, orchestrator.url, arguments=["-c", STUCK]) as server,
    ):
        runner = registered(orchestrator)
        before = len(accepted(orchestrator))
        server.process.send_signal(signal.SIGUSR2)
        eventually(lambda: server.events("stuck"), "stuck")
        eventually(lambda: len(accepted(orchestrator)) >= before + 4, "heartbeats")
        assert not server.events("no longer stuck")
        assert runners(orchestrator) == [runner]


def test_no_attempt_follows_at_once_upon_another(server: Container, port: int) -> None:
    """However short a time the orchestrator has said before it went away."""

    async def say(_: web.Request) -> web.Response:
        told = {"heartbeat_interval": "1ns", "heartbeat_ttl": "1ns", "heartbeat_secret": "s"}
        return web.json_response({"runner_id": "r", **told})

    with run_orchestrator(port=port, secret=SECRET) as orchestrator:
        orchestrator.fault = say
        eventually(lambda: len(accepted(orchestrator)) >= 3, "heartbeats")
        assert min(gaps(accepted(orchestrator))[1:]) > PAUSE_SECONDS
    started, before = time.monotonic(), attempts(server, "unreachable")
    eventually(lambda: attempts(server, "unreachable") >= before + 4, "attempts")
    assert time.monotonic() - started > 0.6
