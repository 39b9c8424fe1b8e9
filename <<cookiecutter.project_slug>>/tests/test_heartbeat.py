"""What the orchestrator is told, how often, and that it is told anew when it has forgotten."""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from announced import SECRET, as_caller, attempts, free_port, run_announced, wait_confirmed
from harness import Server, eventually
from heartbeats import APP, MODE, discover, heartbeats, registered, runners
from standins.orchestrator import Call, OrchestratorServer, run_orchestrator

# Every 0.5 s, since three heartbeats are due in a lifetime; and for 30 s what has expired is not
# removed but answered 404.
BRIEF = {"heartbeat_seconds": 30, "ttl_seconds": 1.5}
# What the container leaves between two words, as the other end may measure it.
PAUSE_SECONDS = 0.45
PRICES: dict[str, Any] = {"BYOC_PRICE_PER_UNIT": "0.00000012", "BYOC_PRICE_UNIT": "720p"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with free_port() as port:
        yield port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Server]:
    """It looks for its orchestrator where each test starts one of its own."""
    folder, url = tmp_path_factory.mktemp("heartbeat"), f"https://127.0.0.1:{port}"
    with run_announced(folder, url, BYOC_CAPACITY="3", **PRICES) as server:
        yield server


@pytest.fixture
def orchestrator(port: int) -> Iterator[OrchestratorServer]:
    with run_orchestrator(port=port, secret=SECRET, onchain=True, **BRIEF) as orchestrator:
        yield orchestrator


def accepted(orchestrator: OrchestratorServer) -> list[Call]:
    return [call for call in heartbeats(orchestrator) if call.status == 200]


def after(orchestrator: OrchestratorServer, status: int) -> int:
    """How it has answered what came after this answer."""
    statuses = [call.status for call in heartbeats(orchestrator)]
    return statuses[statuses.index(status) + 1]


def gaps(calls: list[Call]) -> list[float]:
    return [later.at - call.at for call, later in pairwise(calls)]


def test_everything_is_told(server: Server, orchestrator: OrchestratorServer) -> None:
    registered(orchestrator)
    eventually(lambda: len(accepted(orchestrator)) >= 3, "heartbeats")
    first, *others = (call.body for call in accepted(orchestrator))
    assert ("gpu" in first) == (server.metric("byoc_gpu_memory_total_bytes") is not None)
    first.pop("gpu", None)
    assert first == {
        "label": "<<cookiecutter.project_slug>>",
        "runner_url": f"http://127.0.0.1:{server.port}",
        "version": "0.1.0",
        "status": "ready",
        "mode": MODE,
        "app": APP,
        "capacity": 3,
        "price_info": {"price": "0.00000012", "currency": "usd", "unit": "720p"},
        "session_ids": [],
    }
    (runner,) = runners(orchestrator)
    for body in others:
        assert body == {**body, **first, "runner_id": runner.id}
    with as_caller() as client:
        (found,) = discover(client, orchestrator)
    assert (found["app"], found["mode"], found["capacity"]) == (APP, MODE, 3)


def test_the_secrets_come_without_bearer(server: Server, orchestrator: OrchestratorServer) -> None:
    """The orchestrator's own for a registration, then that of the runner's heartbeats."""
    secrets: list[str] = []
    lost = registered(orchestrator)

    async def look(request: web.Request) -> None:
        secrets.append(request.headers["Authorization"])

    orchestrator.fault = look
    orchestrator.forget()
    runner = registered(orchestrator, lost)
    eventually(lambda: len(secrets) >= 4, "heartbeats")
    assert lost.derive("heartbeat") != runner.derive("heartbeat")
    assert secrets[-3:] == [SECRET, *2 * [runner.derive("heartbeat")]]


def test_heartbeats_come_before_the_orchestrator_forgets(
    server: Server, orchestrator: OrchestratorServer
) -> None:
    """And not more often than every 0.5 s."""
    runner = registered(orchestrator)
    eventually(lambda: len(accepted(orchestrator)) >= 6, "heartbeats")
    assert runners(orchestrator) == [runner]
    assert min(gaps(accepted(orchestrator))) > PAUSE_SECONDS
    assert (server.metric("byoc_registration_age_seconds") or 99) < BRIEF["ttl_seconds"]


def test_heartbeats_are_as_frequent_as_the_orchestrator_says(server: Server, port: int) -> None:
    """Whatever the container's own interval is, which is for failures."""
    says = {"heartbeat_seconds": 1.5, "ttl_seconds": 600}
    with run_orchestrator(port=port, secret=SECRET, onchain=True, **says) as orchestrator:
        eventually(lambda: len(accepted(orchestrator)) >= 3, "heartbeats")
        assert min(gaps(accepted(orchestrator))) > 1.2


def test_an_orchestrator_that_restarts_is_told_anew(
    server: Server, orchestrator: OrchestratorServer
) -> None:
    """It knows neither the runner nor the secret of its heartbeats."""
    lost = registered(orchestrator)
    orchestrator.forget()
    assert registered(orchestrator, lost).id != lost.id
    assert after(orchestrator, 401) == 200


def test_a_runner_that_was_silent_for_too_long_comes_back(
    server: Server, orchestrator: OrchestratorServer
) -> None:
    lost = registered(orchestrator)
    orchestrator.fault = fail
    eventually(lambda: orchestrator.registry.runners.expired(lost), "expired")
    assert server.metric("byoc_registered") == 0
    orchestrator.fault = None
    assert registered(orchestrator, lost).id != lost.id
    assert after(orchestrator, 404) == 200
    wait_confirmed(server)


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=503)


def test_a_runner_that_somebody_else_has_unregistered_comes_back(
    server: Server, orchestrator: OrchestratorServer
) -> None:
    lost = registered(orchestrator)
    headers = {"Authorization": lost.derive("heartbeat")}
    with as_caller() as client:
        url = f"{orchestrator.url}/runners/{lost.id}/unregister"
        assert client.post(url, headers=headers).status_code == 204
    assert registered(orchestrator, lost).id != lost.id


def test_failures_are_followed_by_longer_and_uneven_pauses(
    server: Server, orchestrator: OrchestratorServer
) -> None:
    """Up to the interval that is due. The log and the counter of errors tell of it once."""
    wait_confirmed(server)
    errors, refused = server.errors("registration"), attempts(server, "refused")
    told = len(server.events("registration fails"))
    orchestrator.fault = fail

    def failed() -> list[Call]:
        return [call for call in heartbeats(orchestrator) if call.status == 503]

    eventually(lambda: len(failed()) >= 8, "failures")
    assert min(gaps(failed())) > 0.2
    assert max(gaps(failed())) - min(gaps(failed())) > 0.02
    assert attempts(server, "refused") >= refused + 8
    assert server.errors("registration") == errors + 1
    assert len(server.events("registration fails")) == told + 1
    assert server.ops.get("/health").json() == {"status": "ok"}
    orchestrator.fault = None
    wait_confirmed(server)


def test_no_attempt_follows_at_once_upon_another(server: Server, port: int) -> None:
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
