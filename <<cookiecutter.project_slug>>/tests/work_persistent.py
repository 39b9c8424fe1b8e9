"""A stream without a pause, while something is done to the container or its orchestrator."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from guests import Guest, reserve
from harness import DEADLINE_SECONDS, Server
from standins.orchestrator import OrchestratorServer
from standins.trickle import run_trickle_server
from streaming import Caller, bunny, frames

SIZE = (160, 90)
FRAMES = 25


@contextmanager
def working(server: Server, orchestrator: OrchestratorServer) -> Iterator[None]:
    """Each frame that is sent comes out; its channels are elsewhere than at the orchestrator."""
    reserved = reserve(orchestrator).json()
    session = reserved["session_id"]
    url, headers = f"http://127.0.0.1:{server.port}", {"Livepeer-Session-Id": session}
    done, sent = threading.Event(), list[int]()
    with (
        run_trickle_server() as trickle,
        httpx.Client(base_url=url, headers=headers, timeout=DEADLINE_SECONDS) as door,
        Caller(server, trickle, session, door) as caller,
    ):

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
    with suppress(httpx.TransportError):  # the orchestrator may be gone
        httpx.post(f"{reserved['control_url']}/stop", verify=False)


def work_through(server: Server, orchestrator: OrchestratorServer) -> str:
    """A stream on the way that callers have; what is said in it."""
    with Guest(server, orchestrator) as guest:
        guest.play(bunny(size=SIZE, frames=FRAMES, audio=False), params={"do": "fail"})
        return b"".join(guest.segments("events_url")).decode()
