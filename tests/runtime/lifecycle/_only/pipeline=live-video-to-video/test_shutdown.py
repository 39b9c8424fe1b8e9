"""Ends: what was accepted comes out, to its last frame; the exit code tells all."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from emulator.trickle import TrickleServer
from harness import run_server, signal_again, size, with_constants
from hostile import run_hostile_server
from streaming import Caller, Clip, bunny, frames, joined, times

SMALL = (160, 90)
CLIP = bunny(size=SMALL, frames=132)
NEXT_CLIP = bunny(size=SMALL, frames=25, first=132)
KILL_SECONDS = 10  # from SIGTERM to SIGKILL, as containers are stopped
HANG = {"do": "wait", "seconds": 600}
# No frame is late on a slow machine.
PATIENT = {"BYOC_CAPACITY": "4", "BYOC_MAX_LATENCY_SECONDS": "20"}

ENDS: dict[str, Callable[[Caller], object]] = {
    "stopped": Caller.stop,
    "input_ended": Caller.end_input,
    "control_closed": lambda caller: caller.close("control_url"),
    "events_closed": lambda caller: caller.close("events_url"),
}


@pytest.fixture(scope="module")
def freed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grows when the state of a session is freed."""
    return tmp_path_factory.mktemp("freed") / "mark"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, freed: Path) -> Iterator[Container]:
    """Frequent heartbeats, because a closed events channel is noticed at the next event."""
    environment = PATIENT | {"CHAOS_FREED": str(freed)}
    folder, quick = (
        tmp_path_factory.mktemp("ends"),
        with_constants("runtime.sessions.live", HEARTBEAT_SECONDS=1),
    )
    with run_server(folder, ready=True, arguments=quick, **environment) as server:
        yield server


def ended(caller: Caller) -> dict[str, Any]:
    """What the log says of the session at its end."""

    def find() -> dict[str, Any] | None:
        events = caller.server.events("session ended")
        return next((event for event in events if event["session_id"] == caller.id), None)

    found = eventually(find, "session ended")
    assert found
    return found


def assert_complete(caller: Caller, clip: Clip = CLIP) -> None:
    """All that was accepted has come out, in segments that can be decoded alone."""
    eventually(lambda: f"{caller.id}-publish" not in caller.trickle.channels, "output closed")
    got, report = frames(caller.output()), ended(caller)
    assert report["frames_in"] == report["frames_out"] == len(got) >= 20
    assert times(got) == times(frames(joined(clip)))[: len(got)]
    assert all(map(frames, caller.segments()))


def stream(caller: Caller, params: Any = None, speed: float = 2, **changes: Any) -> None:
    """In the middle of it."""
    caller.open(params, **changes)
    caller.publish(CLIP, speed=speed)


def wait_for_frames(*callers: Caller) -> None:
    for caller in callers:
        eventually(partial(has_frames, caller), "streaming")


def has_frames(caller: Caller) -> bool:
    return bool(caller.status()["frames_out"] >= 20)


@pytest.mark.parametrize("reason", ENDS)
def test_a_session_ends_with_all_it_has_accepted(
    server: Container, trickle: TrickleServer, freed: Path, reason: str
) -> None:
    before = size(freed)
    with Caller(server, trickle, reason) as caller:
        stream(caller)
        wait_for_frames(caller)
        ENDS[reason](caller)
        assert ended(caller)["reason"] == reason
        assert_complete(caller)
    eventually(lambda: server.metric("byoc_sessions_active") == 0, "no session open")
    assert server.metric("byoc_sessions_total", outcome=reason) == 1
    eventually(lambda: size(freed) == before + 1, "the model has got there")


def test_stop_answers_when_all_is_out(server: Container, trickle: TrickleServer) -> None:
    with Caller(server, trickle, "answer") as caller:
        stream(caller)
        wait_for_frames(caller)
        assert caller.stop().status_code == 200
        assert "answer-publish" not in trickle.channels
        assert_complete(caller)


def test_sigterm_while_all_sessions_stream(
    start_server: StartContainer, trickle: TrickleServer, tmp_path: Path
) -> None:
    freed = tmp_path / "freed"
    settings = {"CHAOS_FREED": str(freed), "BYOC_SHUTDOWN_GRACE_SECONDS": "20"}
    with start_server(**PATIENT, **settings) as server, ExitStack() as stack:
        callers = [
            stack.enter_context(Caller(server, trickle, f"sigterm-{number}")) for number in range(4)
        ]
        for caller in callers:
            stream(caller, {"do": "invert"})
        wait_for_frames(*callers)
        assert server.stop() == 0, server.log()
        for caller in callers:
            assert_complete(caller)
            assert caller.stopped()["reason"] == ended(caller)["reason"] == "shutdown"
            assert caller.stopped()["frames_in"] == len(frames(caller.output()))
        assert size(freed) == 4
        assert [event["in_time"] for event in server.events("stopped")] == [True]


def test_sigterm_while_the_model_hangs(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    settings = {"BYOC_JOB_TIMEOUT_SECONDS": "600", "BYOC_SHUTDOWN_GRACE_SECONDS": "4"}
    with start_server(**PATIENT, **settings) as server, Caller(server, trickle, "hung") as caller:
        stream(caller, HANG)
        eventually(lambda: caller.status()["frames_in"], "frames in")
        started = time.monotonic()
        assert server.stop() == 1
        assert time.monotonic() - started < KILL_SECONDS
        assert [it["cause"] for it in server.events("model's process killed")] == ["deadline"]
        assert server.events("session cut before all was out")
        assert not Path(f"/proc/{server.worker()}").exists()


def test_state_is_freed_by_the_process_if_nobody_asked(
    start_server: StartContainer, trickle: TrickleServer, tmp_path: Path
) -> None:
    """The frame in hand outlasts its session, but not the grace period."""
    freed, mark = tmp_path / "freed", tmp_path / "mark"
    settings = {"CHAOS_FREED": str(freed), "BYOC_SHUTDOWN_GRACE_SECONDS": "5"}
    with (
        start_server(**PATIENT, **settings) as server,
        Caller(server, trickle, "slow") as caller,
    ):
        stream(caller, {"do": "wait", "seconds": 2.5, "mark": str(mark)})
        eventually(lambda: size(mark), "the model has got there")
        assert server.stop() == 1, server.log()
        assert server.events("session cut before all was out")
        assert size(freed) == 1


def test_the_second_sigterm_is_the_deadline(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    """Even when only the model's process is still there."""
    settings = {"BYOC_JOB_TIMEOUT_SECONDS": "600", "BYOC_SHUTDOWN_GRACE_SECONDS": "600"}
    quick = with_constants("runtime.sessions.live", FLUSH_SECONDS=1)
    with (
        start_server(arguments=quick, **PATIENT, **settings) as server,
        Caller(server, trickle, "twice") as caller,
    ):
        stream(caller, HANG)
        eventually(lambda: caller.status()["frames_in"], "frames in")
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("session ended"), "session ended")
        signal_again(server)
        assert server.wait_exit() == 1
        assert [it["cause"] for it in server.events("model's process killed")] == ["SIGTERM"]


def test_a_drain_lets_sessions_go_on(start_server: StartContainer, trickle: TrickleServer) -> None:
    with (
        start_server(**PATIENT, BYOC_DRAIN_SECONDS="3600") as server,
        Caller(server, trickle, "inside") as inside,
        Caller(server, trickle, "outside") as outside,
    ):
        inside.open()
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
        (waiting,) = eventually(lambda: server.events("draining"), "draining")
        assert (waiting["sessions"], round(waiting["seconds_left"], -2)) == (1, 3600)
        refused = outside.start()
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
        assert refused.headers["Retry-After"]
        for clip in (CLIP, NEXT_CLIP):
            inside.publish(clip, speed=5).result(DEADLINE_SECONDS)
            assert server.ops.get("/health").json() == {"status": "ok"}
            assert inside.status()["state"] == "streaming"
        inside.finish()
        assert len(frames(inside.output())) == 132 + 25
        assert server.wait_exit() == 0
        assert not server.events("drain ended")


def test_the_next_signal_ends_a_drain(start_server: StartContainer, trickle: TrickleServer) -> None:
    """And sessions end with all that they have accepted."""
    with (
        start_server(**PATIENT, BYOC_DRAIN_SECONDS="3600") as server,
        Caller(server, trickle, "drained") as caller,
    ):
        stream(caller)
        wait_for_frames(caller)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("draining"), "draining")
        signal_again(server)
        assert server.wait_exit() == 0
        assert [it["cause"] for it in server.events("drain ended")] == ["SIGTERM"]
        assert_complete(caller)
        assert ended(caller)["reason"] == "shutdown"


def test_sigterm_while_an_output_is_not_read(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    """Its session is cut in time, and its neighbour loses nothing."""
    with (
        start_server(**PATIENT, BYOC_SHUTDOWN_GRACE_SECONDS="6") as server,
        run_hostile_server() as deaf,
        Caller(server, trickle, "unread") as unread,
        Caller(server, trickle, "neighbour") as neighbour,
    ):
        unread.open({"do": "noise"}, publish_url=f"{deaf}/out")
        large = bunny(size=(640, 360), frames=50, audio=False)
        unread.publish(large, speed=5).result(DEADLINE_SECONDS)
        stream(neighbour)
        wait_for_frames(neighbour)
        started = time.monotonic()
        assert server.stop() == 1
        assert time.monotonic() - started < KILL_SECONDS
        assert_complete(neighbour)
        (cut,) = server.events("session cut before all was out")
        assert cut["session_id"] == "unread"
