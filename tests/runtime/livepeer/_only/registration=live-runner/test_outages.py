"""Whatever the orchestrator does, or is, serving goes on, and the container finds back to it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from emulator.container import Container, eventually, health_polls
from harness import FEWEST_POLLS
from orchestrator.server import Fault, OrchestratorServer, run_orchestrator
from registering import SECRET, attempts, run_registering, wait_confirmed
from work import working

LARGE = 2_000_000  # more than any answer may be
SETTINGS: dict[str, Any] = {"BYOC_CAPACITY": "4", "BYOC_MAX_LATENCY_SECONDS": "20"}

type Reply = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET, heartbeat_seconds=0.5) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, orchestrator: OrchestratorServer
) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("outages")
    with run_registering(folder, orchestrator.url, **SETTINGS) as server:
        yield server


def answering(status: int, **options: object) -> Reply:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(status=status, **options)  # type: ignore[arg-type]

    return reply


def told(**changes: str) -> str:
    """What an orchestrator answers to heartbeats."""
    right = {"runner_id": "r", "heartbeat_interval": "5s", "heartbeat_ttl": "20s"}
    return json.dumps(right | changes)


async def hang(_: web.Request) -> None:
    await asyncio.sleep(3600)


async def reset(request: web.Request) -> None:
    assert request.transport
    request.transport.abort()


async def trickle(request: web.Request) -> web.StreamResponse:
    """An answer that never ends, however often it is read."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" ")
        await asyncio.sleep(0.1)


REPLIES: dict[str, tuple[Reply, str]] = {
    "an error": (answering(500), "refused"),
    "a huge answer": (answering(200, text=told() + LARGE * " "), "invalid"),
    "a huge refusal": (answering(503, body=bytes(LARGE)), "refused"),
    "no JSON": (answering(200, text="ok"), "invalid"),
    "no object": (answering(200, text="[]"), "invalid"),
    "other types": (answering(200, text='{"runner_id": 5, "heartbeat_ttl": []}'), "invalid"),
    "no time": (answering(200, text=told(heartbeat_interval="0s")), "invalid"),
    "no number": (answering(200, text=told(heartbeat_ttl="20s or so")), "invalid"),
    "no name": (answering(200, text=told(runner_id="")), "invalid"),
    "a reset": (reset, "unreachable"),
    "nothing": (hang, "unreachable"),
    "an endless answer": (trickle, "unreachable"),
}


@pytest.mark.parametrize("name", REPLIES)
def test_faults_of_the_orchestrator_do_not_disturb_sessions(
    server: Container, orchestrator: OrchestratorServer, name: str
) -> None:
    """Counted by outcome, told once; and all is well when the orchestrator is."""
    reply, outcome = REPLIES[name]
    wait_confirmed(server)
    before, errors = attempts(server, outcome), server.errors("registration")
    told = len(server.events("registration fails"))
    with working(server, orchestrator), health_polls(server) as polls:
        orchestrator.fault = for_heartbeats(reply)
        try:
            eventually(lambda: attempts(server, outcome) > before, outcome)
            assert server.metric("byoc_registered") == 0
            eventually(lambda: len(polls) >= FEWEST_POLLS, "polls")
        finally:
            orchestrator.fault = None
        wait_confirmed(server)
    assert server.errors("registration") == errors + 1
    assert len(server.events("registration fails")) == told + 1
    assert attempts(server, "internal") == 0
    assert server.log().count("Traceback") == 0


def for_heartbeats(reply: Reply) -> Fault:
    async def fault(request: web.Request) -> web.StreamResponse | None:
        return await reply(request) if request.path == "/runners/heartbeat" else None

    return fault


def test_a_redirect_is_not_followed(server: Container, orchestrator: OrchestratorServer) -> None:
    """The secret is for one address alone."""
    wait_confirmed(server)
    before = attempts(server, "refused")
    with run_orchestrator() as other:

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{other.url}{request.path}"})

        orchestrator.fault = redirect
        eventually(lambda: attempts(server, "refused") >= before + 2, "refused")
        orchestrator.fault = None
        assert not other.calls
    wait_confirmed(server)


def test_an_orchestrator_that_dies_takes_nothing_with_it(tmp_path: Path) -> None:
    """Nor does it hold up the end."""
    with ExitStack() as stack:
        orchestrator = stack.enter_context(run_orchestrator(secret=SECRET, heartbeat_seconds=0.5))
        dying = stack.pop_all()
        server = stack.enter_context(run_registering(tmp_path, orchestrator.url, **SETTINGS))
        wait_confirmed(server)
        with working(server, orchestrator), health_polls(server) as polls:
            dying.close()
            eventually(lambda: attempts(server, "unreachable") >= 3, "unreachable")
            eventually(lambda: len(polls) >= FEWEST_POLLS, "polls")
        assert server.ops.get("/health").json() == {"status": "ok"}
        assert server.errors("registration") == 1
        assert server.stop() == 0
