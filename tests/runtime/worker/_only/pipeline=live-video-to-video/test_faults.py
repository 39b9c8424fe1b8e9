"""What a model can do wrong costs frames at most: sessions go on, and tell what happened."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from emulator.trickle import TrickleServer
from harness import run_server, size
from streaming import Caller, Clip, bunny, frames, joined, times

SMALL = (160, 90)
CLIP = bunny(size=SMALL, frames=75, audio=False)
SHORT_CLIP = bunny(size=SMALL, frames=25, audio=False)
NEXT_CLIP = bunny(size=SMALL, frames=25, first=75, audio=False)
INVERT = {"do": "invert"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Container]:
    """Without the file `release` in the folder, the model's process does not come up again."""
    environment = patient(folder) | {"BYOC_JOB_TIMEOUT_SECONDS": "2"}
    with run_server(folder, ready=True, arguments=None, **environment) as server:
        yield server


@pytest.fixture
def release(folder: Path) -> Iterator[Path]:
    release = folder / "release"
    release.unlink(missing_ok=True)
    yield release
    release.touch()


@pytest.fixture
def callers(server: Container, trickle: TrickleServer) -> Iterator[list[Caller]]:
    wait_empty(server)
    with Caller(server, trickle, "one") as one, Caller(server, trickle, "two") as two:
        yield [one, two]


def patient(folder: Path) -> dict[str, str]:
    """A model whose second start waits; no frame is late on a slow machine."""
    return {
        "BYOC_CAPACITY": "4",
        "BYOC_MAX_LATENCY_SECONDS": "20",
        "CHAOS_LOAD": "wait_for_file_when_second",
        "CHAOS_MARK": str(folder / "starts"),
        "CHAOS_FILE": str(folder / "release"),
    }


class Counters:
    """What the metrics have grown by, aside from what processes use."""

    def __init__(self, server: Container) -> None:
        self._server = server
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        lines = self._server.ops.get("/metrics").text.splitlines()
        told = (line for line in lines if "_total" in line and line[0] != "#")
        pairs = (line.rsplit(" ", 1) for line in told if "_process_" not in line)
        return {name: float(value) for name, value in pairs}

    def grown(self) -> dict[str, float]:
        return {
            name.removeprefix("byoc_"): value - self._before.get(name, 0)
            for name, value in self._read().items()
            if name.startswith("byoc_") and value != self._before.get(name, 0)
        }


def wait_empty(server: Container) -> None:
    eventually(lambda: server.metric("byoc_sessions_active") == 0, "all sessions ended")


def faults(caller: Caller) -> list[str]:
    return [event["error"]["type"] for event in caller.events("error")]


def each(callers: list[Caller], seen: Callable[[Caller], object], what: str) -> None:
    for caller in callers:
        eventually(partial(seen, caller), what)


def send(callers: list[Caller], clip: Clip, speed: float = 3) -> None:
    """The whole clip to all of them, at once."""
    for sending in [caller.publish(clip, speed=speed) for caller in callers]:
        sending.result(DEADLINE_SECONDS)


def looks(given: list[av.VideoFrame], got: list[av.VideoFrame]) -> str:
    """For each picture that came out whether it is inverted, `i`, or as it was, `p`."""
    originals = dict(zip(times(given), given, strict=True))
    found = ""
    for moment, picture in zip(times(got), got, strict=True):
        shown = picture.to_ndarray(format="rgb24").astype(np.int16)
        original = originals[moment].to_ndarray(format="rgb24").astype(np.int16)
        plain, inverted = np.abs(shown - original).mean(), np.abs(255 - original - shown).mean()
        assert min(plain, inverted) < 12, (plain, inverted)
        found += "p" if plain < inverted else "i"
    return found


@pytest.mark.parametrize("unprocessed", ["pass", "drop"])
def test_sessions_outlive_the_models_process(
    start_server: StartContainer, trickle: TrickleServer, tmp_path: Path, unprocessed: str
) -> None:
    """1. Two sessions stream. 2. kill -9. 3. Frames come and there is no model. 4. There is."""
    with (
        start_server(**patient(tmp_path), BYOC_UNPROCESSED_FRAMES=unprocessed) as server,
        Caller(server, trickle, f"{unprocessed}-1") as one,
        Caller(server, trickle, f"{unprocessed}-2") as two,
    ):
        callers = [one, two]
        counters = Counters(server)
        for caller in callers:
            caller.open(INVERT)
        sending = [caller.publish(CLIP, speed=3) for caller in callers]
        each(callers, lambda caller: caller.status()["frames_out"] >= 10, "streaming")
        os.kill(server.worker(), signal.SIGKILL)
        each(callers, lambda caller: left_out(caller.status()) >= 10, "model away")
        (tmp_path / "release").touch()
        each(callers, lambda caller: caller.events("recovered"), "recovered")
        for future in sending:
            future.result(DEADLINE_SECONDS)
        send(callers, NEXT_CLIP)
        for caller in callers:
            caller.finish()

        given = frames(joined(CLIP)) + frames(joined(NEXT_CLIP))
        for caller in callers:
            end = caller.stopped()
            got = frames(caller.output())
            assert (end["frames_in"], end["frames_out"]) == (len(given), len(got))
            assert left_out(end) >= 10
            if unprocessed == "pass":
                assert times(got) == times(given)
                assert re.fullmatch("i+p+i+", looks(given, got))
                assert looks(given, got).count("p") == end["frames_unprocessed"]
            else:
                missing = sorted({*times(given)} - {*times(got)})
                assert len(missing) == end["frames_dropped"]["restart"]
                assert {b - a for a, b in pairwise(missing)} == {90_000 // 25}
                assert set(looks(given, got)) == {"i"}
            assert faults(caller) == ["worker_crash"]
            (recovered,) = caller.events("recovered")
            assert 0 < recovered["gap_seconds"] < DEADLINE_SECONDS
        wait_empty(server)
        total = sum(left_out(caller.stopped()) for caller in callers)
        kind = {
            "pass": "frames_unprocessed_total",
            "drop": 'frames_dropped_total{reason="restart"}',
        }
        assert counters.grown() == {
            "frames_in_total": 2 * len(given),
            "frames_out_total": sum(caller.stopped()["frames_out"] for caller in callers),
            kind[unprocessed]: total,
            'errors_total{type="worker_crash"}': 1,
            "worker_restarts_total": 1,
            'sessions_total{outcome="input_ended"}': 2,
        }


def left_out(report: dict[str, Any]) -> int:
    """Frames that the model has not seen."""
    return int(report["frames_unprocessed"] + sum(report["frames_dropped"].values()))


@pytest.mark.parametrize(
    ("order", "counted"),
    [
        ({"then": "crash"}, "worker_crash"),
        ({"then": "exhaust"}, "out_of_memory"),
        ({"then": "wait", "seconds": 600}, "timeout"),
    ],
)
def test_a_model_that_is_lost_is_replaced(
    server: Container,
    callers: list[Caller],
    release: Path,
    tmp_path: Path,
    order: dict[str, Any],
    counted: str,
) -> None:
    """State is made anew: the second session's model counts its frames from 1 again."""
    counters, pid = Counters(server), server.worker()
    first, second = callers
    first.open({"do": "once", "file": str(tmp_path / "once"), **order})
    second.open({"do": "count"})
    sending = [caller.publish(CLIP, speed=3) for caller in callers]
    each(callers, lambda caller: left_out(caller.status()), "model away")
    release.touch()
    each(callers, lambda caller: caller.events("recovered"), "recovered")
    for future in sending:
        future.result(DEADLINE_SECONDS)
    send(callers, NEXT_CLIP)
    for caller in callers:
        caller.finish()
        assert faults(caller) == [counted]
        end = caller.stopped()
        assert len(frames(caller.output())) == end["frames_in"] == end["frames_out"] == 100
    seen = [line["frames"] for line in second.lines()]
    again = seen.index(1, 1)
    assert seen == [*range(1, again + 1), *range(1, len(seen) - again + 1)]
    assert len(seen) == 100 - second.stopped()["frames_unprocessed"]
    assert server.worker() != pid
    assert not Path(f"/proc/{pid}").exists()
    grown = counters.grown()
    assert {name: n for name, n in grown.items() if "errors" in name or "restarts" in name} == {
        f'errors_total{{type="{counted}"}}': 1,
        "worker_restarts_total": 1,
    }
    assert size(tmp_path / "once") == 1


@pytest.mark.parametrize(
    "order",
    [
        {"line": "no JSON\n"},
        {"line": "\xff\n"},
        {"line": "[]\n"},
        {"line": 100_000 * "[" + "\n"},
        {"line": "x", "times": 2_000_000},
        {"line": '["unknown"]\n'},
        {"line": '["picture", 4000, 4000]\n'},
        {"line": '["picture", -2, -2]\n'},
        {"line": '["done", 0, 0, [1]]\n'},
        {"line": '["error", 0, 0, [], [], "auth"]\n'},
    ],
    ids=lambda order: order["line"][:20].strip(),
)
def test_what_makes_no_sense_costs_the_models_process(
    server: Container, callers: list[Caller], release: Path, tmp_path: Path, order: dict[str, Any]
) -> None:
    release.touch()
    counters, pid = Counters(server), server.worker()
    first, second = callers
    second.open(INVERT)
    send([second], SHORT_CLIP, speed=10)
    eventually(lambda: second.status()["frames_out"], "the model has the second session")
    first.open({"do": "once", "file": str(tmp_path / "once"), "then": "garble", **order})
    send([first], SHORT_CLIP, speed=10)
    each(callers, lambda caller: caller.events("recovered"), "recovered")
    for caller in callers:
        caller.finish()
        assert faults(caller) == ["worker_crash"]
        assert times(frames(caller.output())) == times(frames(joined(SHORT_CLIP)))
    assert server.worker() != pid
    grown = counters.grown()
    assert grown['errors_total{type="worker_crash"}'] == grown["worker_restarts_total"] == 1


def test_a_long_refusal_is_cut(server: Container, callers: list[Caller]) -> None:
    """It may repeat all that the caller has sent."""
    caller, pid = callers[0], server.worker()
    caller.open({"repeat": "é" * 150_000})
    send([caller], SHORT_CLIP, speed=10)
    caller.finish()
    (event,) = caller.events("error")
    assert event["error"]["type"] == "bad_request"
    assert len(event["error"]["message"]) == 2000
    assert len(event["error"]["field"]) == 200
    assert server.worker() == pid


def test_all_allowed_messages_are_sent(server: Container, callers: list[Caller]) -> None:
    caller, pid = callers[0], server.worker()
    caller.open({"do": "flood", "times": 7})
    send([caller], SHORT_CLIP[:1], speed=10)
    caller.finish()
    assert faults(caller) == []
    assert caller.lines()[-1] == '"' * 32_000
    assert server.worker() == pid


@pytest.mark.parametrize(
    "do", ["fail", "bad_shape", "bad_type", "chatter", "flood", "forge", "leave"]
)
def test_a_frame_that_fails_passes_through(
    server: Container, callers: list[Caller], do: str
) -> None:
    counters, pid = Counters(server), server.worker()
    first, second = callers
    first.open({"do": do, "times": 8})
    second.open(INVERT)
    send(callers, SHORT_CLIP, speed=10)
    for caller in callers:
        caller.finish()
        assert times(frames(caller.output())) == times(frames(joined(SHORT_CLIP)))
    assert faults(second) == []
    assert looks(frames(joined(SHORT_CLIP)), frames(second.output())) == 25 * "i"
    assert first.stopped()["frames_unprocessed"] == 25
    assert "a detail" not in str(first.events())
    assert set(faults(first)) == {"model_error"}
    moments = [event["timestamp"] for event in first.events("error")]
    assert all(later - earlier > 990 for earlier, later in pairwise(moments))
    grown = counters.grown()
    assert grown['errors_total{type="model_error"}'] == 25
    assert "worker_restarts_total" not in grown
    assert server.worker() == pid


def test_pictures_that_no_encoder_takes_cost_themselves(
    server: Container, callers: list[Caller]
) -> None:
    first, second = callers
    first.open({"do": "wide"})
    second.open(INVERT)
    send(callers, SHORT_CLIP, speed=10)
    for caller in callers:
        caller.finish()
    assert set(faults(first)) == {"internal"}
    assert faults(second) == []
    assert looks(frames(joined(SHORT_CLIP)), frames(second.output())) == 25 * "i"


def test_a_fault_of_every_frame_is_told_once_a_second(
    server: Container, callers: list[Caller]
) -> None:
    caller = callers[0]
    caller.open({"do": "fail"})
    caller.publish(CLIP[:2]).result(DEADLINE_SECONDS)
    caller.finish()
    moments = [event["timestamp"] for event in caller.events("error")]
    assert len(moments) >= 2
    assert all(later - earlier > 990 for earlier, later in pairwise(moments))


def test_parameters_that_are_refused_at_the_start_leave_the_model_its_own(
    server: Container, callers: list[Caller]
) -> None:
    caller = callers[0]
    caller.open({"refuse": True, "do": "invert"})
    send([caller], SHORT_CLIP)
    caller.finish()
    (event,) = caller.events("error")
    assert (event["error"]["type"], event["error"]["field"]) == ("bad_request", "refuse")
    assert looks(frames(joined(SHORT_CLIP)), frames(caller.output())) == 25 * "p"


def test_no_frame_is_lost_while_parameters_are_refused(
    server: Container, callers: list[Caller]
) -> None:
    caller = callers[0]
    caller.open({"refuse": True, "seconds": 0.5})
    send([caller], SHORT_CLIP, speed=10)
    caller.finish()
    assert caller.stopped()["frames_dropped"] == {}
    assert len(frames(caller.output())) == 25


def test_a_refusal_is_always_told(server: Container, callers: list[Caller]) -> None:
    """However often the frames fail."""
    caller = callers[0]
    caller.open({"do": "fail"})
    sent = caller.publish(CLIP[:2])
    eventually(lambda: caller.events("error"), "a frame failed")
    headers = {"X-Stream-Id": caller.id}
    answer = server.jobs.post("/stream/params", json={"stumble": True}, headers=headers)
    assert answer.status_code == 200
    words = "the model failed with KeyError"
    eventually(lambda: words in str(caller.events("error")), "the refusal is told")
    sent.result(DEADLINE_SECONDS)
    caller.finish()


def test_a_session_that_can_not_be_opened_ends(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    with start_server(CHAOS_OPEN="fail") as server, Caller(server, trickle, "closed") as caller:
        counters = Counters(server)
        caller.begin(INVERT)
        caller.wait_ended()
        assert caller.stopped()["reason"] == "failed"
        assert set(faults(caller)) == {"model_error"}
        assert "a detail" not in str(caller.events())
        wait_empty(server)
        assert counters.grown()['sessions_total{outcome="failed"}'] == 1
        assert "worker_restarts_total" not in counters.grown()


def test_parameters_that_come_while_the_model_is_away_are_kept(
    server: Container, callers: list[Caller], release: Path
) -> None:
    caller = callers[0]
    caller.open(INVERT)
    send([caller], CLIP)
    eventually(lambda: caller.status()["frames_out"], "the model has the session")
    os.kill(server.worker(), signal.SIGKILL)
    eventually(lambda: faults(caller), "model away")
    headers = {"X-Stream-Id": caller.id}
    answer = server.jobs.post("/stream/params", json={"params": {"do": "echo"}}, headers=headers)
    assert answer.status_code == 200
    release.touch()
    eventually(lambda: caller.events("params_updated"), "parameters taken")
    send([caller], NEXT_CLIP)
    caller.finish()
    sent = frames(joined(CLIP)) + frames(joined(NEXT_CLIP))
    seen = looks(sent, frames(caller.output()))
    assert len(seen) == 75 + 25
    assert re.fullmatch("i+p{25,}", seen)


def test_parameters_that_kill_are_not_tried_again(
    server: Container, callers: list[Caller], release: Path
) -> None:
    """Those from before hold, and a session that has none ends; its neighbour goes on."""
    release.touch()
    for caller in callers:
        caller.open(INVERT)
    counters = Counters(server)
    callers[0].control(b'{"abort": true}')
    each(callers, lambda caller: caller.events("recovered"), "recovered")
    send(callers, SHORT_CLIP)
    for caller in callers:
        caller.finish()
        assert looks(frames(joined(SHORT_CLIP)), frames(caller.output())) == 25 * "i"
    assert counters.grown()["worker_restarts_total"] == 1


def test_a_session_that_kills_whenever_it_opens_ends(
    server: Container, callers: list[Caller], release: Path
) -> None:
    release.touch()
    first, second = callers
    second.open(INVERT)
    first.begin({"abort": True})
    first.wait_ended()
    assert first.stopped()["reason"] == "failed"
    eventually(lambda: second.events("recovered"), "recovered")
    send([second], SHORT_CLIP)
    second.finish()
    assert looks(frames(joined(SHORT_CLIP)), frames(second.output())) == 25 * "i"


def test_a_model_that_does_not_come_up_again_ends_the_container(
    start_server: StartContainer, trickle: TrickleServer, tmp_path: Path
) -> None:
    plan = {"CHAOS_LOAD": "start_by_plan", "CHAOS_PLAN": "+---", "CHAOS_MARK": str(tmp_path / "m")}
    with start_server(**plan) as server, Caller(server, trickle, "last") as caller:
        caller.open(INVERT)
        caller.publish(SHORT_CLIP, speed=3).result(DEADLINE_SECONDS)
        eventually(lambda: caller.status()["frames_out"] >= 20, "frames out")
        os.kill(server.worker(), signal.SIGKILL)
        assert server.wait_exit() == 1
        assert server.events("model unavailable")
        caller.wait_ended()
        assert len(frames(caller.output())) >= 20
        assert set(faults(caller)) == {"worker_crash"}
