"""Streams go on, paid for and within reach, while new ones are no longer asked for."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from capability_streams import Viewer
from emulator.container import DEADLINE_SECONDS, Container, eventually
from harness import CAPABILITY
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET
from registrations import (
    REGISTER,
    UNREGISTER,
    available,
    is_known,
    registrations,
    run_registered,
    words,
)
from streaming import bunny, frames

SIZE, FRAMES = (160, 90), 25
CLIPS = [bunny(size=SIZE, frames=FRAMES, first=FRAMES * n, audio=False) for n in range(3)]
SETTINGS = {
    "BYOC_CAPACITY": "4",
    "BYOC_MAX_LATENCY_SECONDS": "20",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "20",
}
# How often the orchestrator looks whether a stream is still to be paid for.
MONITOR_SECONDS = 0.2
# Longer than that and than the interval of registrations.
WHILE_SECONDS = 1.3


@pytest.fixture
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET, monitor_seconds=MONITOR_SECONDS) as orchestrator:
        yield orchestrator


def send(viewer: Viewer, number: int) -> None:
    viewer.publish(CLIPS[number], speed=5).result(DEADLINE_SECONDS)


def close(server: Container, orchestrator: OrchestratorServer) -> int:
    """Two streams fill four places; returns how many words the orchestrator has heard then."""
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: registrations(orchestrator)[-1].body["load"] == 4 + 2, "no room")
    assert available(orchestrator) == 0
    return len(words(orchestrator))


def assert_last(orchestrator: OrchestratorServer, told: int) -> None:
    """Nothing but the withdrawal has been told since."""
    assert [(it.path, it.body) for it in words(orchestrator)[told:]] == [(UNREGISTER, CAPABILITY)]


def test_parameters_and_stops_reach_streams_during_a_drain(
    tmp_path: Path, orchestrator: OrchestratorServer
) -> None:
    """1. Two streams. 2. Drain: the orchestrator is told once that there is no room, and nothing
    more until the end, whatever happens. 3. Parameters and stops arrive, and what is sent comes
    out. 4. There is no room when one has ended, and the name is taken back after the last one.
    """
    with (
        run_registered(tmp_path, orchestrator, **SETTINGS, BYOC_DRAIN_SECONDS="3600") as server,
        Viewer(server, orchestrator, "first") as first,
        Viewer(server, orchestrator, "second") as second,
        Viewer(server, orchestrator, "outside") as outside,
    ):
        for viewer in (first, second):
            viewer.open({"do": "invert"})
            send(viewer, 0)
        told = close(server, orchestrator)
        refused = outside.start()
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
        assert server.jobs.post("/stream/start", headers={"Authorization": ""}).status_code == 401
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(WHILE_SECONDS)
        assert server.ops.get("/health").json() == {"status": "ok"}

        for viewer in (first, second):
            send(viewer, 1)
        assert first.update({"do": "count"}).status_code == 200
        send(first, 2)
        eventually(lambda: first.lines(), "counted")
        assert first.stop().status_code == 200
        assert first.stopped()["reason"] == "stopped"
        eventually(lambda: server.metric("byoc_sessions_active") == 1, "one has ended")
        assert available(orchestrator) == 0
        assert is_known(orchestrator)
        second.end_input()
        eventually(lambda: second.events("stopped"), "ended")
        assert [len(frames(it.output())) for it in (first, second)] == [3 * FRAMES, 2 * FRAMES]
        assert server.wait_exit() == 0
        assert_last(orchestrator, told)
        assert not server.events("registration fails")


def test_a_stop_ends_streams_before_the_withdrawal(
    tmp_path: Path, orchestrator: OrchestratorServer
) -> None:
    """Then the orchestrator may not have heard of it before."""
    with (
        run_registered(tmp_path, orchestrator, **SETTINGS) as server,
        Viewer(server, orchestrator, "viewer") as viewer,
    ):
        viewer.open({"do": "invert"})
        send(viewer, 0)
        assert server.stop() == 0
        assert viewer.stopped()["reason"] == "shutdown"
        assert len(frames(viewer.output())) == FRAMES
        assert words(orchestrator)[-1].path == UNREGISTER
        assert {it.path for it in words(orchestrator)[:-1]} == {REGISTER}
