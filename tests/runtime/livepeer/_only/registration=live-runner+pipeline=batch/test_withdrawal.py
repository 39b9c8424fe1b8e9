"""Jobs that have been accepted are answered before the orchestrator is told to forget us."""

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from emulator.container import Container, eventually
from harness import size
from heartbeats import heartbeats, no_room, registered, runners, take_time, withdrawals
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, run_registering
from runner_client import Client

# What it is told, it is told at once: no heartbeat is due within a test.
SELDOM = {"heartbeat_seconds": 600, "ttl_seconds": 3600}
DRAIN: dict[str, Any] = {
    "BYOC_CAPACITY": "3",
    "BYOC_DRAIN_SECONDS": "30",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "60",
}


@pytest.fixture
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET, **SELDOM) as orchestrator:
        yield orchestrator


class Callers:
    """They come through the orchestrator."""

    def __init__(self, server: Container, orchestrator: OrchestratorServer) -> None:
        self.server = server
        registered(orchestrator)
        self.orchestrator = orchestrator
        with Client(orchestrator) as client:
            (runner,) = client.discovered()
        self.url = f"{runner['url']}/run"

    def ask(self, behaviour: str, **order: object) -> httpx.Response:
        with Client(self.orchestrator) as client:
            return client.post(self.url, json={"do": behaviour, **order})

    def send(self, behaviour: str, **order: object) -> Future[httpx.Response]:
        return self.server.pool.submit(self.ask, behaviour, **order)


@pytest.mark.parametrize("drain_seconds", ["600", "0"])
def test_what_is_open_is_answered_before_the_end(
    orchestrator: OrchestratorServer, tmp_path: Path, drain_seconds: str
) -> None:
    """1. Three jobs fill the capacity. 2. SIGTERM: new ones get 503 from the orchestrator, which is
    told of a runner that is ready and full. 3. They are answered, and the withdrawal comes last.
    """
    mark, first, second = (tmp_path / name for name in ("mark", "first", "second"))
    waiting = {"mark": str(mark), "file": str(second)}
    orchestrator.fault = take_time
    settings = DRAIN | {"BYOC_DRAIN_SECONDS": drain_seconds}
    with run_registering(tmp_path, orchestrator.url, **settings) as server:
        callers = Callers(server, orchestrator)
        early = callers.send("wait_for_file", mark=str(mark), file=str(first))
        eventually(lambda: size(mark) == 1, "the model has got there")
        late = callers.send("wait_for_file", **waiting)
        events = callers.send("stream", values=[1], then="wait_for_file", **waiting)
        eventually(lambda: server.metric("byoc_sessions_active") == 3, "3 sessions open")
        assert no_room(callers.ask("echo"))

        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("admission closed"), "admission closed")
        eventually(lambda: heartbeats(orchestrator)[-1].body["session_ids"], "told")
        told = heartbeats(orchestrator)[-1].body
        (runner,) = runners(orchestrator)
        assert set(told["session_ids"]) == set(runner.sessions)
        assert (told["status"], told["capacity"]) == ("ready", 3)
        first.touch()
        assert early.result().json() == "seen"
        eventually(lambda: heartbeats(orchestrator)[-1].body["capacity"] == 2, "less room")
        assert no_room(callers.ask("echo"))
        assert server.ops.get("/health").json() == {"status": "ok"}
        assert not withdrawals(orchestrator)

        second.touch()
        assert late.result().json() == "seen"
        assert events.result().text.endswith("data: [DONE]\n\n")
        assert server.wait_exit() == 0
        (withdrawal,) = withdrawals(orchestrator)
        assert withdrawal.status == 204
        assert orchestrator.calls[-1] == withdrawal
        assert not runners(orchestrator)
        assert {call.body["status"] for call in heartbeats(orchestrator)} == {"ready"}
        assert not server.events("registration fails")


def test_an_idle_runner_withdraws(orchestrator: OrchestratorServer, tmp_path: Path) -> None:
    with run_registering(tmp_path, orchestrator.url) as server:
        registered(orchestrator)
        assert server.stop() == 0
        eventually(lambda: withdrawals(orchestrator), "withdrawn")
        assert [call.status for call in withdrawals(orchestrator)] == [204]
        assert orchestrator.calls[-1] == withdrawals(orchestrator)[0]


def test_who_is_forgotten_while_it_drains_does_not_come_back(
    orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """It is told with the first job that ends, and the second one goes on."""
    mark, first, second = (tmp_path / name for name in ("mark", "first", "second"))
    with run_registering(tmp_path, orchestrator.url, **DRAIN, CHAOS_PARALLEL="2") as server:
        callers = Callers(server, orchestrator)
        jobs = [
            callers.send("wait_for_file", mark=str(mark), file=str(file))
            for file in (first, second)
        ]
        eventually(lambda: size(mark) == 2, "the model has got there")
        server.process.send_signal(signal.SIGTERM)
        eventually(
            lambda: heartbeats(orchestrator)[-1].body["capacity"] == 2, "a lower capacity told"
        )
        orchestrator.forget()
        before = len(orchestrator.calls)
        first.touch()
        eventually(lambda: heartbeats(orchestrator)[-1].status == 401, "not known")
        second.touch()
        assert [job.result().json() for job in jobs] == 2 * ["seen"]
        assert server.wait_exit() == 0
        assert {call.status for call in list(orchestrator.calls)[before:]} == {401}
        assert not runners(orchestrator)


def test_an_orchestrator_that_does_not_answer_does_not_hold_up_the_end(
    orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"

    async def hang(_: web.Request) -> None:
        mark.touch()
        await asyncio.sleep(3600)

    with run_registering(tmp_path, orchestrator.url) as server:
        registered(orchestrator)
        orchestrator.fault = hang
        assert server.stop() == 0
        assert mark.exists()
        assert [event["in_time"] for event in server.events("stopped")] == [True]


def test_changes_are_reported_at_once_but_not_each_one(
    orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """Callers that hang up are news: their slots may have leaked."""
    with run_registering(tmp_path, orchestrator.url, BYOC_CAPACITY="8") as server:
        registered(orchestrator)
        while len(heartbeats(orchestrator)) < 4:
            with pytest.raises(httpx.ReadTimeout):
                server.jobs.post("/run", json={"do": "wait", "seconds": 0.1}, timeout=0.05)
        calls = heartbeats(orchestrator)
        assert min(later.at - call.at for call, later in pairwise(calls)) > 0.45
