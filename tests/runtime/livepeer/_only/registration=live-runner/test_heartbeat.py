"""What the orchestrator is told, and that it is told anew when it has forgotten."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from emulator.container import Container, eventually
from harness import APP, MODE
from heartbeats import accepted, heartbeats, registered, runners
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, free_port, run_registering, wait_confirmed
from runner_client import Client

# Every 0.5 s, since three heartbeats are due in a lifetime; and for 30 s what has expired is not
# removed but answered 404.
BRIEF = {"heartbeat_seconds": 30, "ttl_seconds": 1.5}
PRICES: dict[str, Any] = {"BYOC_PRICE_PER_UNIT": "0.00000012", "BYOC_PRICE_UNIT": "720p"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with free_port() as port:
        yield port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Container]:
    """It looks for its orchestrator where each test starts one of its own."""
    folder, url = tmp_path_factory.mktemp("heartbeat"), f"https://127.0.0.1:{port}"
    with run_registering(folder, url, BYOC_CAPACITY="3", **PRICES) as server:
        yield server


@pytest.fixture
def orchestrator(port: int) -> Iterator[OrchestratorServer]:
    with run_orchestrator(port=port, secret=SECRET, onchain=True, **BRIEF) as orchestrator:
        yield orchestrator


def after(orchestrator: OrchestratorServer, status: int) -> int:
    """How it has answered what came after this answer."""

    def answers() -> list[int]:
        statuses = [call.status for call in heartbeats(orchestrator)]
        return statuses[statuses.index(status) + 1 :] if status in statuses else []

    return eventually(answers, f"an answer after {status}")[0]


def test_registration_reports_all_fields(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    registered(orchestrator)
    eventually(lambda: len(accepted(orchestrator)) >= 3, "heartbeats")
    first, *others = (call.body for call in accepted(orchestrator))
    assert ("gpu" in first) == (server.metric("byoc_gpu_memory_total_bytes") is not None)
    first.pop("gpu", None)
    assert first == {
        "label": "my-model",
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
    with Client(orchestrator) as client:
        (found,) = client.discovered()
    assert (found["app"], found["mode"], found["capacity"]) == (APP, MODE, 3)


def test_the_secrets_come_without_bearer(
    server: Container, orchestrator: OrchestratorServer
) -> None:
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


def test_an_orchestrator_that_restarts_is_told_anew(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """It knows neither the runner nor the secret of its heartbeats."""
    lost = registered(orchestrator)
    orchestrator.forget()
    assert registered(orchestrator, lost).id != lost.id
    assert after(orchestrator, 401) == 200


def test_a_runner_that_was_silent_for_too_long_comes_back(
    server: Container, orchestrator: OrchestratorServer
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
    server: Container, orchestrator: OrchestratorServer
) -> None:
    lost = registered(orchestrator)
    headers = {"Authorization": lost.derive("heartbeat")}
    with Client(orchestrator) as client:
        assert client.post(f"/runners/{lost.id}/unregister", headers=headers).status_code == 204
    assert registered(orchestrator, lost).id != lost.id
