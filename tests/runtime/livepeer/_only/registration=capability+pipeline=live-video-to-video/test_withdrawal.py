"""Streams go on when the capability is withdrawn, and new ones are no longer asked for."""

import signal
import subprocess
from pathlib import Path

import pytest

from announced import SECRET
from capability_streams import Viewer
from emulator.container import DEADLINE_SECONDS, eventually
from harness import CAPABILITY
from orchestrator.server import run_orchestrator
from registrations import UNREGISTER, is_known, run_registered, words
from streaming import bunny, frames

SIZE, FRAMES = (160, 90), 25
CLIPS = [bunny(size=SIZE, frames=FRAMES, first=FRAMES * n, audio=False) for n in range(3)]
SETTINGS = {
    "BYOC_CAPACITY": "4",
    "BYOC_DRAIN_SECONDS": "60",
    "BYOC_MAX_LATENCY_SECONDS": "20",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "20",
}
# Longer than the interval.
WHILE_SECONDS = 1.3
NOBODY = "No capacity available for capability\n"


@pytest.mark.parametrize("how", ["SIGUSR1", "SIGQUIT"])
def test_streams_outlast_the_withdrawal(tmp_path: Path, how: str) -> None:
    """1. Two streams. 2. Drain: the name is taken back at once, so that the orchestrator refuses
    new ones. 3. Nobody brings it back. 4. All frames come out, also those that are sent later.
    """
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registered(tmp_path, orchestrator, **SETTINGS) as server,
        Viewer(server, orchestrator, "first") as first,
        Viewer(server, orchestrator, "second") as second,
        Viewer(server, orchestrator, "outside") as outside,
    ):
        for viewer in (first, second):
            viewer.open({"do": "invert"})
            viewer.publish(CLIPS[0], speed=5).result(DEADLINE_SECONDS)

        server.process.send_signal(signal.Signals[how])
        eventually(lambda: not is_known(orchestrator), "withdrawn")
        last = words(orchestrator)[-1]
        assert (last.path, last.body) == (UNREGISTER, CAPABILITY)
        eventually(lambda: server.metric("byoc_registered") == 0, "confirmed")
        refused = outside.start()
        assert (refused.status_code, refused.text) == (400, NOBODY)
        assert server.jobs.post("/stream/start", headers={"Authorization": ""}).status_code == 401
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(WHILE_SECONDS)
        assert server.ops.get("/health").json() == {"status": "ok"}

        for viewer in (first, second):
            for clip in CLIPS[1:]:
                viewer.publish(clip, speed=5).result(DEADLINE_SECONDS)
            viewer.end_input()
            eventually(lambda it=viewer: it.events("stopped"), "ended")  # type: ignore[misc]
            assert viewer.stopped()["reason"] == "input_ended"
            assert len(frames(viewer.output())) == FRAMES * len(CLIPS)
        if how == "SIGUSR1":
            eventually(
                lambda: server.ops.get("/health").json() == {"status": "draining"}, "draining"
            )
            assert server.stop() == 0
        assert server.wait_exit() == 0
        assert words(orchestrator)[-1] == last
        assert not server.events("registration fails")
