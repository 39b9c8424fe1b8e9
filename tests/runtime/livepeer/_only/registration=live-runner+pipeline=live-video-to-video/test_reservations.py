"""Only sessions that the orchestrator has reserved may call, and both sides agree on which."""

from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from emulator.container import DEADLINE_SECONDS, PACKAGE, Container, eventually
from guests import Guest, elsewhere, give_up, reserve
from heartbeats import heartbeats, no_room, registered, runners
from orchestrator.runners import Runner
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, free_port, run_registering
from streaming import bunny, frames

CLIP = bunny(size=(160, 90), frames=50, audio=False)
PATIENT: dict[str, Any] = {"BYOC_CAPACITY": "4", "BYOC_MAX_LATENCY_SECONDS": "20"}
# So that word of sessions comes by the channel alone, or by a heartbeat that was asked for.
SELDOM = {"heartbeat_seconds": 600, "ttl_seconds": 3600}
OFTEN = {"heartbeat_seconds": 0.5, "ttl_seconds": 20}
LEGACY = "/live-video-to-video"
ROUTES = [
    ("POST", "/stream/start"),
    ("POST", "/stream/stop"),
    ("POST", "/stream/params"),
    ("GET", "/stream/status"),
    ("POST", LEGACY),
]
ABANDONED_SECONDS = 1
# A container that does not wait for a minute until it takes a session for abandoned.
HASTY = f"""
import runpy
import {PACKAGE}.runtime.livepeer.persistent_runner
{PACKAGE}.runtime.livepeer.persistent_runner.ABANDONED_SECONDS = {ABANDONED_SECONDS}
runpy.run_module({PACKAGE!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with free_port() as port:
        yield port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Container]:
    """It looks for its orchestrator where each test starts one of its own."""
    folder, url = tmp_path_factory.mktemp("reservations"), f"https://127.0.0.1:{port}"
    with run_registering(folder, url, **PATIENT) as server:
        yield server


@pytest.fixture
def seldom(server: Container, port: int) -> Iterator[OrchestratorServer]:
    with run_orchestrator(port=port, secret=SECRET, **SELDOM) as orchestrator:
        ask_as(server, "nobody")  # so that it looks for the orchestrator at once
        registered(orchestrator)
        yield orchestrator


@pytest.fixture
def often(server: Container, port: int) -> Iterator[OrchestratorServer]:
    with run_orchestrator(port=port, secret=SECRET, **OFTEN) as orchestrator:
        ask_as(server, "nobody")
        registered(orchestrator)
        yield orchestrator


def ask_as(server: Container, session: str, route: tuple[str, str] = ROUTES[3]) -> httpx.Response:
    headers = {"Livepeer-Session-Id": session} if session else {"X-Stream-Id": "nobody"}
    return server.jobs.request(*route, headers=headers)


def silence(monkeypatch: pytest.MonkeyPatch, orchestrator: OrchestratorServer) -> Runner:
    """Nothing comes by the channel any more, as when its queue is full
    (ai/runner/live_runner.go).
    """
    runner = registered(orchestrator)
    monkeypatch.setattr(runner.commands, "tell", lambda *_: None)
    return runner


async def fail(request: web.Request) -> web.Response | None:
    """Heartbeats tell nothing any more."""
    return web.Response(status=500) if request.path == "/runners/heartbeat" else None


def play(server: Container, orchestrator: OrchestratorServer) -> None:
    """A whole stream."""
    with Guest(server, orchestrator) as guest:
        guest.play(CLIP)
        assert len(frames(guest.output())) == 50


@pytest.mark.parametrize("session", ["", "nobody"])
def test_who_has_no_session_is_403(
    server: Container, often: OrchestratorServer, session: str
) -> None:
    """On every route; however many ask, the orchestrator is not flooded."""
    before, counted = len(heartbeats(often)), server.errors("auth")
    asking: list[Future[httpx.Response]] = [
        server.pool.submit(ask_as, server, session, route) for route in 4 * ROUTES
    ]
    for request in asking:
        answer = request.result()
        if answer.url.path == LEGACY:  # which knows no 403 (ai/worker/worker.go)
            assert (answer.status_code, set(answer.json())) == (500, {"detail"})
            continue
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (403, "auth")
        assert error["field"] == "Livepeer-Session-Id"
    assert server.errors("auth") == counted + len(asking)
    calls = heartbeats(often)[before:]
    assert all(later.at - call.at > 0.45 for call, later in pairwise(calls))


def test_the_channel_tells_of_sessions(server: Container, seldom: OrchestratorServer) -> None:
    """Also after a registration anew: whom heartbeats don't tell of may call."""
    lost = registered(seldom)
    for forgotten in (False, True):
        if forgotten:
            seldom.fault = None
            seldom.forget()
            ask_as(server, "nobody")
            registered(seldom, lost)
        seldom.fault = fail
        play(server, seldom)


def test_caller_that_is_faster_than_the_channel_is_admitted(
    server: Container, seldom: OrchestratorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container asks."""
    silence(monkeypatch, seldom)
    before = len(heartbeats(seldom))
    play(server, seldom)
    assert len(heartbeats(seldom)) > before


@pytest.mark.parametrize("how", ["channel", "heartbeat"])
def test_a_released_session_ends_with_all_it_has_accepted(
    server: Container, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its channels are elsewhere, since the orchestrator closes its own."""
    orchestrator = request.getfixturevalue("seldom" if how == "channel" else "often")
    with elsewhere(server, orchestrator) as caller:
        caller.open()
        caller.publish(CLIP, speed=5).result(DEADLINE_SECONDS)
        eventually(lambda: caller.input.get(caller.input.next_index), "input received")
        if how == "heartbeat":
            silence(monkeypatch, orchestrator)
        give_up(orchestrator, caller.id)
        caller.wait_ended()
        assert caller.stopped()["reason"] == "released"
        assert len(frames(caller.output())) == 50


def test_a_session_that_the_container_ends_is_given_back(
    server: Container, often: OrchestratorServer
) -> None:
    (runner,) = runners(often)
    with Guest(server, often) as guest:
        guest.open()
        eventually(lambda: heartbeats(often)[-1].body["session_ids"] == [guest.id], "told")
        assert list(runner.sessions) == [guest.id]
        guest.end_input()
        eventually(lambda: not runner.sessions, "given back")
        guest.wait_ended()
    eventually(lambda: heartbeats(often)[-1].body["session_ids"] == [], "told")


def test_a_session_is_given_back_as_long_as_it_is_held(
    server: Container, often: OrchestratorServer
) -> None:
    """Heartbeats tell."""
    tries: list[str] = []

    async def refuse(request: web.Request) -> web.Response | None:
        if not request.path.endswith("/stop"):
            return None
        tries.append(request.path)
        return web.Response(status=500)

    def beat(times: int) -> None:
        heard = len(heartbeats(often)) + times
        eventually(lambda: len(heartbeats(often)) > heard, "heartbeats")

    with Guest(server, often) as guest:
        guest.open()
        often.fault = refuse
        guest.end_input()
        eventually(lambda: len(tries) > 1, "tried again")
        give_up(often, guest.id)
        beat(times=2)
        tried = len(tries)
        beat(times=3)
        assert len(tries) == tried


def test_a_session_that_nobody_uses_costs_no_place(tmp_path: Path) -> None:
    """1. One is reserved, and none are left. 2. It is taken for abandoned: there is room for one
    that is used. 3. That one does not make more room, however long it lasts.
    """
    with (
        run_orchestrator(secret=SECRET, **OFTEN) as orchestrator,
        run_registering(tmp_path, orchestrator.url, arguments=["-c", HASTY]) as server,
    ):
        runner = registered(orchestrator)
        assert reserve(orchestrator).is_success
        assert no_room(reserve(orchestrator))
        eventually(lambda: runner.spec["capacity"] == 2, "room for another")
        with Guest(server, orchestrator) as guest:
            guest.open()
            assert no_room(reserve(orchestrator))
            told = heartbeats(orchestrator)[-1].at
            long_after = told + ABANDONED_SECONDS + 1.2
            eventually(lambda: heartbeats(orchestrator)[-1].at > long_after, "heartbeats")
            assert runner.spec["capacity"] == 2
            guest.end_input()
            guest.wait_ended()


def test_an_orchestrator_that_can_not_be_asked_lets_nobody_in(
    server: Container, often: OrchestratorServer
) -> None:
    """In words, and not in a stack of calls."""
    often.fault = fail
    assert ask_as(server, "nobody").status_code == 403
    assert "never retrieved" not in server.log()
    assert "Traceback" not in server.log()
