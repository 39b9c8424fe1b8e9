"""A stream without a pause, while something is done to the container or its orchestrator."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from emulator.container import DEADLINE_SECONDS, Container
from guests import Guest, elsewhere
from orchestrator.server import OrchestratorServer
from streaming import bunny, frames

SIZE = (160, 90)
FRAMES = 10


@contextmanager
def working(server: Container, orchestrator: OrchestratorServer) -> Iterator[None]:
    """Each frame that is sent comes out."""
    done, sent = threading.Event(), list[int]()
    with elsewhere(server, orchestrator) as caller:

        def work() -> None:
            while not (done.is_set() and sent):
                clip = bunny(size=SIZE, frames=FRAMES, first=FRAMES * len(sent), audio=False)
                caller.publish(clip).result(DEADLINE_SECONDS)
                sent.append(FRAMES)

        caller.open()
        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            done.set()
            worker.join()
        caller.finish()
        assert caller.stopped()["reason"] == "input_ended"
        assert len(frames(caller.output())) == sum(sent)


def work_through(server: Container, orchestrator: OrchestratorServer) -> str:
    """A stream on the way that callers have; what is said in it."""
    with Guest(server, orchestrator) as guest:
        guest.play(bunny(size=SIZE, frames=FRAMES, audio=False), params={"do": "fail"})
        return b"".join(guest.segments("events_url")).decode()
