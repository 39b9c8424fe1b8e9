"""Streams on the way that callers of a capability have: through the orchestrator that knows it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from aiohttp import web

from capability_streams import Viewer
from emulator.container import DEADLINE_SECONDS, Container, eventually
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, wait_confirmed
from registrations import available, is_known, known, leak, registrations, run_registered
from streaming import bunny, frames, joined, times

CLIP = bunny(size=(160, 90), frames=50, audio=False)
SETTINGS = {"BYOC_CAPACITY": "2", "BYOC_MAX_LATENCY_SECONDS": "20"}


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, orchestrator: OrchestratorServer
) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("streams")
    with run_registered(folder, orchestrator, **SETTINGS) as server:
        yield server


def test_every_frame_comes_out(server: Container, orchestrator: OrchestratorServer) -> None:
    with Viewer(server, orchestrator, "whole") as viewer:
        viewer.play(CLIP, params={"do": "invert"})
        got = frames(viewer.output())
        assert times(got) == times(frames(joined(CLIP)))
        assert viewer.events("started")
        viewer.stop()
    eventually(lambda: available(orchestrator) == 2, "the slot is free")


def test_streams_go_on_while_nobody_can_register(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=500)

    orchestrator.fault = refuse
    eventually(lambda: server.metric("byoc_registered") == 0, "refused")
    with Viewer(server, orchestrator, "on") as viewer:
        viewer.play(CLIP)
        assert times(frames(viewer.output())) == times(frames(joined(CLIP)))
        assert server.metric("byoc_registered") == 0
        orchestrator.fault = None
        wait_confirmed(server)
        viewer.stop()


def test_parameters_and_stops_reach_the_container(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """A stream that nobody knows is stopped, too."""
    with Viewer(server, orchestrator, "updated") as viewer:
        viewer.open()
        assert viewer.update({"do": "count"}).status_code == 200
        viewer.publish(CLIP, speed=5).result(DEADLINE_SECONDS)
        eventually(lambda: viewer.lines(), "counted")
        refused = viewer.update({"refuse": True})
        assert refused.status_code == 200
        eventually(lambda: viewer.events("error"), "the model refuses")
        for _ in range(2):
            assert viewer.stop().status_code == 200
        eventually(lambda: server.metric("byoc_sessions_active") == 0, "ended")
    assert is_known(orchestrator)


def test_what_is_over_capacity_is_refused(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """Orchestrators don't count (core/ai_orchestrator.go), and are told of the open streams."""
    with ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(server, orchestrator, f"v{n}")) for n in range(3)]
        for viewer in viewers[:2]:
            viewer.open()
        refused = viewers[2].start()
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
        assert is_known(orchestrator)
        before = len(registrations(orchestrator))
        leak(orchestrator)
        eventually(lambda: len(registrations(orchestrator)) > before, "registered again")
        assert registrations(orchestrator)[-1].body["load"] == 2
        for viewer in viewers[:2]:
            viewer.stop()
        eventually(lambda: server.metric("byoc_sessions_active") == 0, "ended")
        eventually(lambda: available(orchestrator) == 2, "nothing leaks")


def test_a_stream_that_has_ended_counts_until_it_is_released(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """Because the orchestrator then subtracts 1 from the load, which would make -1 of 0."""
    with Viewer(server, orchestrator, "ended") as viewer:
        viewer.open()
        viewer.end_input()
        eventually(lambda: server.metric("byoc_sessions_active") == 0, "ended")
        before = len(registrations(orchestrator))
        leak(orchestrator)
        eventually(lambda: len(registrations(orchestrator)) > before, "registered again")
        assert registrations(orchestrator)[-1].body["load"] == 1
        viewer.stop()
    assert known(orchestrator).load == 0
    before = len(registrations(orchestrator))
    leak(orchestrator)
    eventually(lambda: len(registrations(orchestrator)) > before, "registered again")
    assert registrations(orchestrator)[-1].body["load"] == 0
