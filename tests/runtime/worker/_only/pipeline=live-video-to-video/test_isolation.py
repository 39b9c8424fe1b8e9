"""Sessions do not disturb each other, whatever is at the other end of their channels."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import httpx
import pytest

from emulator.container import DEADLINE_SECONDS, Container, eventually, health_polls
from emulator.trickle import TrickleServer, run_trickle_server
from harness import run_server
from hostile import run_hostile_server
from orchestrator.certificate import self_signed
from resources import OBSERVED, Holdings, holdings, tasks
from streaming import Caller, Clip, bunny, frames, joined, times

CLIP = bunny(size=(160, 90), frames=75)
LARGE_CLIP = bunny(size=(640, 360), frames=75, audio=False)
NO_PICTURES = b"\x47\x1f\xff\x10" + bytes(184)  # a packet that says nothing
BULK: Clip = [[(0, 266_000 * NO_PICTURES)]]
STALLED_CLIP: Clip = [[*CLIP[0][:-1], (3600, b"")]]
SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
KEYS = ("subscribe_url", "publish_url", "control_url", "events_url", "data_url")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Nothing is late because the machine is slow."""
    folder = tmp_path_factory.mktemp("isolation")
    settings = {"BYOC_CAPACITY": "16", "BYOC_MAX_LATENCY_SECONDS": "5"}
    with run_server(folder, ready=True, arguments=OBSERVED, **settings) as server:
        yield server


def wait_empty(server: Container) -> None:
    eventually(lambda: server.metric("byoc_sessions_active") == 0, "all sessions ended")


def stop(server: Container, name: str) -> int:
    """On a connection of its own."""
    url = f"http://127.0.0.1:{server.port}/stream/stop"
    headers = {"X-Stream-Id": name}
    return httpx.post(url, headers=headers, timeout=DEADLINE_SECONDS).status_code


def of_both(server: Container) -> tuple[Holdings, Holdings]:
    return holdings(server.process.pid), holdings(server.worker())


def no_more(server: Container, before: tuple[Holdings, Holdings]) -> bool:
    """The stream before may have let go of something only afterwards."""
    pairs = zip(chain(*of_both(server)), chain(*before), strict=True)
    return all(now <= earlier for now, earlier in pairs)


def elsewhere(answer: bytes | None, *keys: str) -> Callable[[Caller, ExitStack], None]:
    """These channels are on a server that gives this answer."""

    def begin(caller: Caller, stack: ExitStack) -> None:
        url = stack.enter_context(run_hostile_server(answer))
        caller.begin(**{key: f"{url}/{key}" for key in keys})
        if "subscribe_url" not in keys:
            caller.publish(CLIP)

    return begin


def unread(caller: Caller, stack: ExitStack) -> None:
    """Its output is more than sockets hold."""
    url = stack.enter_context(run_hostile_server())
    caller.open({"do": "noise"}, publish_url=f"{url}/out")
    caller.publish(LARGE_CLIP, speed=3)


def stalled(caller: Caller, stack: ExitStack) -> None:
    """Its publisher stops in the middle of a segment and does not hang up."""
    caller.open()
    caller.publish(STALLED_CLIP)


def closed(caller: Caller, stack: ExitStack) -> None:
    """Its viewer closes the output."""
    caller.open()
    caller.publish(CLIP)
    eventually(lambda: caller.status()["frames_out"], "frames out")
    caller.close("publish_url")


def flooding(caller: Caller, stack: ExitStack) -> None:
    """Messages without a pause, of which some are large, some no JSON, and some parameters."""
    messages = [b"{", b'{"keep": "alive"}', b'{"do": "echo"}', b"[" + bytes(1_000_000), b"\xff"]
    done = threading.Event()

    def flood() -> None:
        with httpx.Client(timeout=DEADLINE_SECONDS) as client:
            index = 0
            while not done.is_set():
                message = messages[index % len(messages)]
                client.post(f"{caller.urls['control_url']}/{index}", content=message)
                index += 1

    caller.open()
    caller.publish(CLIP)
    stack.callback(caller.server.pool.submit(flood).result, DEADLINE_SECONDS)
    stack.callback(done.set)


def bulky(caller: Caller, stack: ExitStack) -> None:
    """50 MB at once."""
    caller.open()
    caller.publish(BULK).add_done_callback(lambda _: caller.publish(CLIP, speed=3))


HOSTILE: dict[str, Callable[[Caller, ExitStack], None]] = {
    "unread": unread,
    "stalled": stalled,
    "closed": closed,
    "flooding": flooding,
    "bulky": bulky,
    "failing": elsewhere(SERVER_ERROR, *KEYS),
    "absent": elsewhere(NOT_FOUND, *KEYS),
    "babbling": elsewhere(b"\x00\xff" * 1000, *KEYS),
    "silent": elsewhere(None, *KEYS),
    "deaf": elsewhere(None, "events_url", "data_url", "control_url"),
    "publishing-to-errors": elsewhere(SERVER_ERROR, "publish_url"),
}


def ended(server: Container) -> set[str]:
    """The sessions that have ended so far."""
    return {event["session_id"] for event in server.events("session ended")}


def test_hostile_sessions_disturb_nobody(server: Container, trickle: TrickleServer) -> None:
    """Nor do they leave anything behind."""
    with Caller(server, trickle, "first") as first:
        first.play(CLIP)
    wait_empty(server)
    before, tasks_before = of_both(server), tasks(server)
    with ExitStack() as stack:
        neighbour = stack.enter_context(Caller(server, trickle, "neighbour"))
        others = {name: stack.enter_context(Caller(server, trickle, name)) for name in HOSTILE}
        hostility = stack.enter_context(ExitStack())
        with health_polls(server):
            for name, begin in HOSTILE.items():
                begin(others[name], hostility)
            neighbour.play(CLIP, params={"do": "invert"}, speed=1)
            eventually(lambda: {"closed", "absent"} <= ended(server), "closed channels noticed")
            stops = [server.pool.submit(stop, server, name) for name in HOSTILE]
            assert [answer.result() for answer in stops] == len(HOSTILE) * [200]
        wait_empty(server)
        end = neighbour.stopped()
        assert (end["frames_in"], end["frames_out"], end["frames_dropped"]) == (75, 75, {})
        assert times(frames(neighbour.output())) == times(frames(joined(CLIP)))
        assert len(frames(others["bulky"].output())) >= 70
        assert len(frames(others["stalled"].output())) >= 20
        ends = server.events("session ended")
        itself = {event["session_id"] for event in ends if event["reason"] != "stopped"}
        assert itself == {"first", "neighbour", "closed", "absent"}
    eventually(lambda: no_more(server, before), f"no more than {before}")
    eventually(lambda: tasks(server) <= tasks_before, "no more tasks than before")


def test_certificates_are_self_signed(server: Container, tmp_path: Path) -> None:
    with (
        run_trickle_server(tls=self_signed(tmp_path)) as trickle,
        Caller(server, trickle, "tls") as caller,
    ):
        assert caller.urls["subscribe_url"].startswith("https:")
        caller.play(CLIP)
        assert len(frames(caller.output())) == 75
        assert caller.events("started")
