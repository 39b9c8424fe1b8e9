"""A new container takes over from an old one, and no frame that was accepted is lost."""

import signal
from contextlib import ExitStack
from pathlib import Path

from capability_streams import Viewer
from emulator.container import DEADLINE_SECONDS, Container, eventually
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET
from registrations import UNREGISTER, is_known, known, registrations, run_registered, words
from streaming import bunny, frames

SIZE, FRAMES = (160, 90), 25
SETTINGS = {
    "BYOC_CAPACITY": "2",
    "BYOC_DRAIN_SECONDS": "60",
    "BYOC_MAX_LATENCY_SECONDS": "20",
}


class Stream(Viewer):
    """It counts what it sends."""

    def __init__(self, server: Container, orchestrator: OrchestratorServer, stream_id: str) -> None:
        super().__init__(server, orchestrator, stream_id)
        self.sent = 0

    def send(self) -> None:
        clip = bunny(size=SIZE, frames=FRAMES, first=self.sent, audio=False)
        self.publish(clip, speed=5).result(DEADLINE_SECONDS)
        self.sent += FRAMES

    def assert_complete(self) -> None:
        """By itself the stream ends, and all that was sent has come out."""
        self.end_input()
        eventually(lambda: self.events("stopped"), "ended")
        assert self.stopped()["reason"] == "input_ended"
        eventually(lambda: self.channel("publish_url") not in self.trickle.channels, "closed")
        assert len(frames(self.output())) == self.sent


def test_no_accepted_frame_is_lost(tmp_path: Path) -> None:
    """1. The new container takes the name. 2. The old one is drained: it tells once that it has no
    room, which takes the name, and the new one takes it again. 3. New streams go there, old ones to
    their end. 4. What the old one takes back then is the name, once more.
    """
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registered(tmp_path / "old", orchestrator, **SETTINGS) as old,
        ExitStack() as stack,
    ):
        streams = [stack.enter_context(Stream(old, orchestrator, f"old-{n}")) for n in range(2)]
        for stream in streams:
            stream.open()
            stream.send()
        token = known(orchestrator).token
        new = stack.enter_context(run_registered(tmp_path / "new", orchestrator, **SETTINGS))
        url = f"http://127.0.0.1:{new.port}"
        old.process.send_signal(signal.SIGTERM)
        eventually(lambda: registrations(orchestrator)[-1].body["load"] == 2 + 2, "no room")
        eventually(lambda: known(orchestrator).url == url, "the new one again")
        assert known(orchestrator).token == token
        late = stack.enter_context(Stream(new, orchestrator, "new"))
        late.open()
        for stream in (*streams, late):
            stream.send()
            stream.assert_complete()
        assert old.wait_exit() == 0
        assert UNREGISTER in [it.path for it in words(orchestrator)]
        eventually(lambda: is_known(orchestrator), "the new one again")
        assert known(orchestrator).url == url
        eventually(
            lambda: new.metric("byoc_sessions_total", outcome="input_ended") == 1,
            "the stream has ended at the new one",
        )
