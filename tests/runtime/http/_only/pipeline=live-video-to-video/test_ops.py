"""The ops port answers whatever the model is doing, and counts the sessions."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from emulator.container import DEADLINE_SECONDS, POLL_SECONDS, Container, eventually, health_polls
from emulator.trickle import TrickleServer
from harness import FEWEST_POLLS
from streaming import Caller, bunny

CLIP = bunny(size=(160, 90), frames=50, audio=False)


@pytest.fixture
def callers(server: Container, trickle: TrickleServer) -> Iterator[list[Caller]]:
    """As many as there are places."""
    with ExitStack() as stack:
        yield [stack.enter_context(Caller(server, trickle, f"ops-{n}")) for n in range(8)]
    eventually(lambda: server.metric("byoc_sessions_active") == 0, "all sessions ended")


@pytest.mark.parametrize("behaviour", ["wait", "spin", "hold"])
def test_health_while_all_sessions_keep_the_model_busy(
    server: Container, callers: list[Caller], behaviour: str
) -> None:
    """On both ports; a thread beside the model would miss it."""
    for caller in callers:
        caller.open({"do": behaviour, "seconds": 0.1})
    with health_polls(server) as polls:
        sending = [caller.publish(CLIP, speed=2) for caller in callers]
        assert server.metric("byoc_sessions_active") == 8
        while not all(future.done() for future in sending):
            answer = server.jobs.get("/health", timeout=POLL_SECONDS)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert len(polls) >= FEWEST_POLLS
    assert all(caller.status()["frames_in"] for caller in callers)


def test_health_while_the_model_holds_the_interpreter_lock(
    server: Container, callers: list[Caller]
) -> None:
    """For longer than a poll may take."""
    caller = callers[0]
    caller.open({"do": "hold", "seconds": POLL_SECONDS + 0.2})
    with health_polls(server) as polls:
        caller.publish(CLIP[:1], speed=10).result(DEADLINE_SECONDS)
        eventually(lambda: caller.status()["frames_out"], "one frame")
        assert server.jobs.get("/health", timeout=POLL_SECONDS).status_code == 200
    assert len(polls) >= FEWEST_POLLS


def test_sessions_and_frames_are_counted(server: Container, callers: list[Caller]) -> None:
    first, second = callers[:2]
    names = ("byoc_frame_latency_ms_count", "byoc_frames_in_total", "byoc_frames_out_total")
    before = [server.metric(name) or 0 for name in names]
    outcomes = ("input_ended", "stopped")
    ended = [server.metric("byoc_sessions_total", outcome=it) or 0 for it in outcomes]
    dropped = server.metric("byoc_frames_dropped_total", reason="model") or 0
    first.open({"do": "drop_odd"})
    second.open()
    assert server.metric("byoc_sessions_active") == 2
    assert server.metric("byoc_capacity") == 8
    first.publish(CLIP, speed=4).result(DEADLINE_SECONDS)
    first.finish()
    second.stop()
    eventually(lambda: server.metric("byoc_sessions_active") == 0, "no session open")
    assert [server.metric(name) for name in names] == [
        before[0] + 25,
        before[1] + 50,
        before[2] + 25,
    ]
    assert server.metric("byoc_frames_dropped_total", reason="model") == dropped + 25
    after = [server.metric("byoc_sessions_total", outcome=it) for it in outcomes]
    assert after == [count + 1 for count in ended]
