"""What lost connections and outages cost: as little as can be, and never the stream."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from emulator.trickle import TrickleServer, run_trickle_server
from harness import run_server, with_constants
from my_model.runtime.livepeer.publisher import Publisher
from my_model.runtime.livepeer.trickle import new_client
from orchestrator.certificate import self_signed
from streaming import Caller, bunny, frames, joined, times
from wire import Wire, run_wire

SIZE = (160, 90)
RATE = 25
CLIP = bunny(size=SIZE, frames=5 * RATE, audio=False)
# Until the next keyframe, which comes every second, pictures have nothing to refer to.
MOST_TICKS_LOST = 1.5 * 90_000
PATIENT = {"BYOC_CAPACITY": "8", "BYOC_MAX_LATENCY_SECONDS": "20"}
OUTAGE_SECONDS = 15


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("connections")
    quick = with_constants("runtime.livepeer.trickle", LOST_SECONDS=OUTAGE_SECONDS)
    with run_server(folder, ready=True, arguments=quick, **PATIENT) as server:
        yield server


@pytest.fixture
def wire(trickle: TrickleServer) -> Iterator[Wire]:
    with run_wire(trickle.url) as wire:
        yield wire


def open_through(caller: Caller, wire: Wire, params: Any = None) -> None:
    """The container has its channels by the wire, the caller directly."""
    caller.open(params, **{key: wire.through(url) for key, url in caller.urls.items()})


def reach(caller: Caller, moment: int) -> None:
    """Until so many frames have come in."""
    eventually(lambda: caller.status()["frames_in"] >= moment, "frames in")


@pytest.mark.parametrize("moment", [1, 20, 30, 50, 90])
def test_a_cut_output_goes_on(caller: Caller, wire: Wire, moment: int) -> None:
    """The segment that broke off is closed, so that no viewer waits in it for more."""
    open_through(caller, wire)
    errors = caller.server.errors("transport")
    sending = caller.publish(CLIP)
    reach(caller, moment)
    wire.cut(f"{caller.id}-publish")
    sending.result(DEADLINE_SECONDS)
    caller.finish()
    assert caller.stopped()["reason"] == "input_ended"
    sent, got = times(frames(joined(CLIP))), times(frames(caller.output()))
    assert set(got) <= set(sent)
    assert max(b - a for a, b in pairwise([sent[0], *got, sent[-1]])) < MOST_TICKS_LOST
    if got != sent:
        (fault, *_) = caller.events("error")
        assert fault["error"]["type"] == "transport"
        assert fault["error"]["message"].startswith("the connection of the output channel broke: ")
        assert caller.server.errors("transport") > errors


def test_cut_data_goes_on(caller: Caller, wire: Wire) -> None:
    """A sparse channel would never be read again if its segment stayed open."""
    open_through(caller, wire, {"do": "count"})
    sending = caller.publish(CLIP)
    eventually(lambda: len(caller.lines()) >= RATE, "lines")
    wire.cut(f"{caller.id}-data")
    sending.result(DEADLINE_SECONDS)
    caller.finish()
    numbers = [line["frames"] for line in caller.lines()]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 4 * RATE
    # What was on its way when the connection broke.
    assert len(numbers) > numbers[-1] - RATE / 2


def test_a_segment_that_broke_off_is_closed(trickle: TrickleServer, wire: Wire) -> None:
    """Whether another one begins or not; the next number follows."""
    url = wire.through(trickle.create("broken", "application/jsonl"))
    channel = trickle.channels["broken"]
    breaks: list[str] = []

    async def publish() -> None:
        async with new_client(tls=False) as http:
            publisher = Publisher(http, url, "application/jsonl", breaks.append)
            await publisher.begin()
            await publisher.write(b"1\n")
            await asyncio.to_thread(eventually, lambda: channel.next_index, "it arrives")
            await asyncio.to_thread(wire.cut, "broken")
            await asyncio.to_thread(eventually, lambda: channel.segments[0].closed, "closed")
            assert not await publisher.write(b"2\n")
            assert channel.next_index == 1
            assert await publisher.publish(b"3\n")
            await publisher.close_channel()

    asyncio.run(publish())
    assert [bytes(segment.data) for segment in channel.segments] == [b"1\n", b"3\n"]
    assert len(breaks) == 1


def test_cut_events_go_on_without_a_loss(caller: Caller, wire: Wire) -> None:
    """Each is a request of its own, which is tried again."""
    open_through(caller, wire)
    eventually(lambda: caller.events("heartbeat"), "heartbeat")
    wire.cut(f"{caller.id}-events")
    assert caller.server.jobs.post(
        "/stream/params", json={"a": 1}, headers={"X-Stream-Id": caller.id}
    ).is_success
    eventually(lambda: caller.events("params_updated"), "params_updated")
    caller.finish()
    assert caller.stopped()["reason"] == "input_ended"


def test_a_cut_input_loses_nothing(caller: Caller, wire: Wire) -> None:
    """The rest of a segment is asked for again."""
    open_through(caller, wire)
    sending = caller.publish(CLIP)
    for moment in (10, 40, 70):
        reach(caller, moment)
        wire.cut(f"{caller.id}-subscribe")
    sending.result(DEADLINE_SECONDS)
    caller.finish()
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert caller.events("error") == []


def test_a_cut_control_goes_on(caller: Caller, wire: Wire) -> None:
    open_through(caller, wire)
    for message in (b'{"a": 1}', b'{"b": 2}'):
        caller.control(message)
        eventually(lambda: caller.events("params_updated"), "params_updated")
        wire.cut(f"{caller.id}-control")
    caller.control(b'{"c": 3}')
    eventually(lambda: len(caller.events("params_updated")) == 3, "all are obeyed")
    assert caller.events("params_updated")[-1]["params"] == {"a": 1, "b": 2, "c": 3}
    caller.finish()


def test_an_outage_counts_from_its_first_failure(caller: Caller, wire: Wire) -> None:
    """However long nothing came before."""
    open_through(caller, wire, {"do": "count"})
    caller.publish(CLIP[:1]).result(DEADLINE_SECONDS)
    silent = time.monotonic() + OUTAGE_SECONDS
    eventually(lambda: time.monotonic() > silent, "long silence")
    wire.go_down()
    eventually(lambda: wire.refused > 5, "tried again")
    wire.come_up()
    caller.publish(CLIP[1:], speed=2).result(DEADLINE_SECONDS)
    caller.finish()
    assert caller.stopped()["reason"] == "input_ended"
    assert caller.stopped()["frames_out"] == len(frames(joined(CLIP)))
    got = times(frames(caller.output()))
    assert got[-1] == times(frames(joined(CLIP)))[-1]
    assert caller.lines()[-1]["frames"] > 4 * RATE


def test_events_and_data_are_kept_during_an_outage(caller: Caller, wire: Wire) -> None:
    open_through(caller, wire)
    wire.go_down()
    eventually(lambda: wire.refused > 5, "tried again")
    for n in range(20):
        assert caller.server.jobs.post(
            "/stream/params", json={"n": n}, headers={"X-Stream-Id": caller.id}
        ).is_success
    wire.come_up()
    eventually(lambda: len(caller.events("params_updated")) == 20, "all are told")
    caller.finish()


@pytest.mark.parametrize(("gone", "outcome"), [("way", "orchestrator_lost"), ("channels", "")])
def test_reason_says_who_closed_the_channels(
    start_server: StartContainer, trickle: TrickleServer, gone: str, outcome: str
) -> None:
    """A caller closes the input alone, an orchestrator all that it has made."""
    quick = with_constants("runtime.livepeer.trickle", LOST_SECONDS=1)
    outcome = outcome or "orchestrator_closed"
    with (
        run_wire(trickle.url) as wire,
        start_server(arguments=quick, **PATIENT) as server,
        Caller(server, trickle, f"gone-{gone}") as caller,
    ):
        open_through(caller, wire)
        if gone == "way":
            wire.go_down()
        else:
            caller.close("publish_url")
            caller.end_input()
        eventually(lambda: server.metric("byoc_sessions_total", outcome=outcome) == 1, "ended")
        assert server.metric("byoc_sessions_active") == 0
        (ended,) = server.events("session ended")
        assert ended["reason"] == outcome


@pytest.mark.parametrize("trusted", [True, False])
def test_certificates_are_checked_where_some_are_trusted(
    start_server: StartContainer, tmp_path: Path, trusted: bool
) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours, other):
        folder.mkdir()
    contexts = {folder: self_signed(folder) for folder in (ours, other)}
    file = (ours if trusted else other) / "certificate.pem"
    quick = with_constants("runtime.livepeer.trickle", LOST_SECONDS=1)
    tls: ssl.SSLContext = contexts[ours]
    with (
        run_trickle_server(tls=tls) as trickle,
        start_server(arguments=quick, BYOC_ORCHESTRATOR_TLS=str(file), **PATIENT) as server,
        Caller(server, trickle, "checked") as caller,
    ):
        if trusted:
            caller.play(bunny(size=SIZE, frames=RATE, audio=False))
            assert len(frames(caller.output())) == RATE
        else:
            caller.begin()
            lost = {"outcome": "orchestrator_lost"}
            eventually(lambda: server.metric("byoc_sessions_total", **lost) == 1, "given up")
            assert caller.input.next_index == 0
