"""Whatever the orchestrator does, or is: serving goes on, and the container finds back to it."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from emulator.container import Container, eventually, health_polls
from harness import FEWEST_POLLS
from orchestrator.server import Fault, OrchestratorServer, run_orchestrator
from registering import SECRET, attempts, free_port, run_registering, wait_confirmed
from registrations import (
    PAUSE_SECONDS,
    job_route,
    known,
    registrations,
    run_registered,
    words,
)

LARGE = bytes(2_000_000)  # more than any answer may be
# That of `run_registering`, and how much longer it may take.
INTERVAL_SECONDS, MARGIN_SECONDS = 1, 1


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[OrchestratorServer]:
    """Another one, which nobody should call."""
    with run_orchestrator(secret=SECRET) as elsewhere:
        yield elsewhere


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, orchestrator: OrchestratorServer
) -> Iterator[Container]:
    with run_registered(tmp_path_factory.mktemp("refusals"), orchestrator) as server:
        yield server


def answering(status: int, **options: object) -> Fault:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(status=status, **options)  # type: ignore[arg-type]

    return reply


async def hang(_: web.Request) -> None:
    await asyncio.sleep(3600)


async def reset(request: web.Request) -> None:
    assert request.transport
    request.transport.abort()


async def overflow(request: web.Request) -> None:
    """Much at once, and no end."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(LARGE)
    await hang(request)


FAULTS: dict[str, tuple[Fault, str]] = {
    "another secret": (answering(400, text="invalid authorization\n"), "refused"),
    "an error": (answering(500, body=LARGE), "refused"),
    "other words": (answering(200, text="fine"), "invalid"),
    "an endless answer": (overflow, "invalid"),
    "a reset": (reset, "unreachable"),
    "nothing": (hang, "unreachable"),
}


def provoke(
    server: Container, orchestrator: OrchestratorServer, fault: Fault, outcome: str
) -> None:
    """The fault, until it has been met, and after it."""
    wait_confirmed(server)
    before, errors = attempts(server, outcome), server.errors("registration")
    told = len(server.events("registration fails"))
    with health_polls(server) as polls:
        orchestrator.fault = fault
        server.jobs.post(job_route(server), headers={"Authorization": ""})
        eventually(lambda: attempts(server, outcome) > before, outcome)
        assert server.metric("byoc_registered") == 0
        eventually(lambda: len(polls) >= FEWEST_POLLS, "polls")
        assert server.jobs.get("/health").json() == {"status": "ok"}
        orchestrator.fault = None
        wait_confirmed(server)
    assert server.errors("registration") == errors + 1
    assert len(server.events("registration fails")) == told + 1
    assert attempts(server, "internal") == 0
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_the_orchestrator_do_not_disturb_sessions(
    server: Container, orchestrator: OrchestratorServer, name: str
) -> None:
    """Counted by outcome, told once, and healed by itself."""
    provoke(server, orchestrator, *FAULTS[name])


def test_the_secret_does_not_follow_a_redirect(
    server: Container, orchestrator: OrchestratorServer, elsewhere: OrchestratorServer
) -> None:
    location = {"Location": f"{elsewhere.url}/capability/register"}
    provoke(server, orchestrator, answering(307, headers=location), "refused")
    assert words(elsewhere) == []


def test_failures_are_followed_by_longer_and_uneven_pauses(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """Up to the interval of 1 s. The log, and the counter of errors, tell once that it fails."""
    wait_confirmed(server)
    errors, told = server.errors("registration"), len(server.events("registration fails"))
    orchestrator.fault = answering(503)
    eventually(lambda: len(failed(orchestrator)) >= 6, "failures")
    age = server.metric("byoc_registration_age_seconds") or 0
    orchestrator.fault = None
    gaps = [later - earlier for earlier, later in pairwise(failed(orchestrator))]
    assert gaps[0] > PAUSE_SECONDS / 2
    assert min(gaps[1:]) > PAUSE_SECONDS
    assert max(gaps) < INTERVAL_SECONDS + MARGIN_SECONDS
    assert max(gaps[1:]) - min(gaps[1:]) > 0.02
    assert age > sum(gaps)
    assert server.errors("registration") == errors + 1
    assert len(server.events("registration fails")) == told + 1
    wait_confirmed(server)
    assert (server.metric("byoc_registration_age_seconds") or 99) < age


def failed(orchestrator: OrchestratorServer) -> list[float]:
    return [call.at for call in registrations(orchestrator) if call.status == 503]


def test_an_orchestrator_that_comes_late_or_with_another_secret(tmp_path: Path) -> None:
    """One trouble: told and counted once, and all is well at its end."""
    with free_port() as port, run_registering(tmp_path, f"https://127.0.0.1:{port}") as server:
        eventually(lambda: attempts(server, "unreachable") >= 2, "nobody there")
        with run_orchestrator(port=port, secret="another") as orchestrator:
            eventually(lambda: attempts(server, "refused") >= 1, "another secret")
            assert {call.status for call in registrations(orchestrator)} == {400}
        with run_orchestrator(port=port, secret=SECRET) as orchestrator:
            known(orchestrator)
            wait_confirmed(server)
            assert server.errors("registration") == 1
            (told,) = server.events("registration fails")
            assert "can't be reached" in told["reason"]


@pytest.mark.parametrize("fault", [hang, reset])
def test_the_end_does_not_wait_for_the_orchestrator(tmp_path: Path, fault: Fault) -> None:
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registered(tmp_path, orchestrator, BYOC_SHUTDOWN_GRACE_SECONDS="5") as server,
    ):
        orchestrator.fault = fault
        assert server.stop() == 0
        assert [event["in_time"] for event in server.events("stopped")] == [True]
