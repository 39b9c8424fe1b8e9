"""What a session reads and says on its channels, and how it ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from aiohttp import web

from callback import run_callback
from emulator.container import DEADLINE_SECONDS, PACKAGE, Container, StartContainer, eventually
from emulator.listener import Listener
from emulator.trickle import TrickleServer, run_trickle_server
from harness import run_server, with_constants
from hostile import run_hostile_server
from my_model.runtime.livepeer import publisher, subscriber
from my_model.runtime.livepeer.publisher import Publisher
from my_model.runtime.livepeer.subscriber import Subscriber
from my_model.runtime.livepeer.trickle import new_client
from my_model.runtime.sessions import live, outbox
from streaming import Caller, Clip, bunny, frames, joined, sound, times

SIZE = (160, 90)
CLIP = bunny(size=SIZE, frames=25, audio=False)
NEXT_CLIP = bunny(size=SIZE, frames=25, first=25, audio=False)
# No frame is late on a slow machine.
PATIENT = {"BYOC_CAPACITY": "8", "BYOC_MAX_LATENCY_SECONDS": "20"}
ALIVE = b'{"keep":"alive"}'
# Gateways stop a stream after 30 s without an event, and orchestrators delete a channel in which
# nothing begins for 5 minutes (byoc/trickle.go, trickle/trickle_server.go).
MOST_SECONDS_BETWEEN_HEARTBEATS = 10
IDLE_SECONDS, SWEPT_SECONDS = 300, 5
PACKET_BYTES, PICTURES_PID = 188, 256
GONE = b"HTTP/1.1 470 Gone\r\nLp-Trickle-Latest: 5\r\nContent-Length: 0\r\n\r\n"

# A container that keeps its channels alive more often, so that tests need not take minutes.
LIVELY = f"""
import runpy
import {PACKAGE}.runtime.sessions.live, {PACKAGE}.runtime.livepeer.subscriber
import {PACKAGE}.runtime.sessions.outbox
{PACKAGE}.runtime.livepeer.subscriber.SILENT_SECONDS = 1
{PACKAGE}.runtime.sessions.live_input.KEEP_ALIVE_SECONDS = 2
{PACKAGE}.runtime.sessions.outbox.KEEP_ALIVE_SECONDS = 0.5
{PACKAGE}.runtime.sessions.outbox.SEGMENT_SECONDS = 0.25
{PACKAGE}.runtime.sessions.live.HEARTBEAT_SECONDS = 1
runpy.run_module({PACKAGE!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Frequent heartbeats, because a closed events channel is noticed at the next event."""
    folder, quick = (
        tmp_path_factory.mktemp("channels"),
        with_constants("runtime.sessions.live", HEARTBEAT_SECONDS=1),
    )
    with run_server(folder, ready=True, arguments=quick, **PATIENT) as server:
        yield server


def send(caller: Caller, clip: Clip = CLIP) -> None:
    """The whole clip; its last pictures come out when more comes or the end."""
    sent = caller.status()["frames_in"] + len(frames(joined(clip)))
    caller.publish(clip, speed=10).result(DEADLINE_SECONDS)
    eventually(lambda: caller.input.get(caller.input.next_index), "input received")
    eventually(lambda: caller.status()["frames_out"] >= sent - 2, "all but the last came out")


def closed(caller: Caller, key: str) -> bool:
    return f"{caller.id}-{key}" not in caller.trickle.channels


@asynccontextmanager
async def publishing(url: str, mime_type: str) -> AsyncIterator[Publisher]:
    """Our own publisher, which closes the channel at the end."""
    async with new_client(tls=False) as http:
        ours = Publisher(http, url, mime_type, print)
        yield ours
        await ours.close_channel()


def brightness(picture: Any) -> float:
    return float(picture.to_ndarray(format="rgb24").astype(np.int16).mean())


# Events


def test_every_segment_is_one_event(caller: Caller) -> None:
    """Gateways read nothing else: no lines, no lists."""
    caller.play(CLIP, params={"do": "count"}, speed=2)
    segments = [text for text in caller.segments("events_url") if text]
    assert len(caller.events()) == len(segments)
    assert all(isinstance(event["type"], str) for event in caller.events())
    assert {"started", "heartbeat", "status", "counted"} <= {it["type"] for it in caller.events()}


def test_first_events_do_not_wait_for_media(caller: Caller) -> None:
    caller.begin({"a": 1})
    eventually(lambda: len(caller.events()) >= 3, "three events")
    started, heartbeat, status = caller.events()[:3]
    assert (started["type"], started["params"]) == ("started", {"a": 1})
    assert (heartbeat["type"], status["type"]) == ("heartbeat", "status")
    assert heartbeat["timestamp"] - started["timestamp"] < 1000
    assert caller.input.next_index == 0
    (text,) = [text for text in caller.segments("events_url") if b'"heartbeat"' in text]
    assert b'"queue_event_type": "stream_heartbeat"' in text
    assert status["state"] == "streaming"


def test_heartbeats_come_while_the_model_holds_the_interpreter_lock(caller: Caller) -> None:
    """And each tells how the stream does."""
    assert 1.5 * live.HEARTBEAT_SECONDS < MOST_SECONDS_BETWEEN_HEARTBEATS
    caller.open({"do": "hold", "seconds": 0.1})
    caller.publish(bunny(size=SIZE, frames=75, audio=False))
    eventually(lambda: len(caller.events("status")) >= 3, "heartbeats")
    moments = [event["timestamp"] for event in caller.events("heartbeat")]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert max(gaps) < 1000 * MOST_SECONDS_BETWEEN_HEARTBEATS
    last = caller.events("heartbeat")[2]
    assert 0 < last["fps_out"] < last["fps_in"] <= 40
    assert 100 < last["latency_p50_ms"] <= last["latency_p99_ms"]
    assert last["frames_in"] > last["frames_out"] > 0
    assert last["frames_unprocessed"] == 0
    assert last["frames_dropped"] == {}
    status = caller.events("status")
    assert set(last) < {*status[1], "state"}


# Data


def test_lines_of_data_come_while_the_stream_runs(caller: Caller) -> None:
    caller.open({"do": "count"})
    send(caller)
    eventually(lambda: caller.lines()[22:] and caller.lines()[0] == {"frames": 1}, "lines")
    assert caller.status()["state"] == "streaming"
    assert f"{caller.id}-data" in caller.trickle.channels


def test_idle_channels_are_kept(start_server: StartContainer) -> None:
    """A session without media outlives many sweeps; what its orchestrator keeps up is not ours."""
    assert outbox.KEEP_ALIVE_SECONDS + outbox.SEGMENT_SECONDS < IDLE_SECONDS / 2
    with (
        run_trickle_server(idle_seconds=SWEPT_SECONDS, sweep_seconds=0.1) as trickle,
        start_server(arguments=["-c", LIVELY]) as server,
        Caller(server, trickle, "idle") as caller,
    ):
        caller.open()
        started = time.monotonic()

        def long_enough() -> bool:
            caller.control(ALIVE)
            httpx.post(f"{caller.urls['subscribe_url']}/-1", verify=False)
            return time.monotonic() - started > 1.5 * SWEPT_SECONDS

        eventually(long_enough, "long enough")
        assert caller.status()["state"] == "streaming"
        assert {f"idle-{name}" for name in ("publish", "events", "data")} <= set(trickle.channels)
        assert {line["type"] for line in caller.lines()} == {"keepalive"}
        # Nothing was lost by it: media and data go on.
        caller.stop()
        (stopped,) = eventually(lambda: caller.events("stopped"), "stopped")
        assert stopped["reason"] == "stopped"


@pytest.fixture
def swept(start_server: StartContainer) -> Iterator[Caller]:
    """Of a session whose channels the container has made, at a server that sweeps them."""
    with (
        run_trickle_server(idle_seconds=SWEPT_SECONDS, sweep_seconds=0.1) as trickle,
        run_callback(trickle) as orchestrator,
        start_server(arguments=["-c", LIVELY], **PATIENT) as server,
        Caller(server, trickle, "swept") as caller,
    ):
        answer = server.jobs.post("/stream/start", headers=orchestrator.headers("swept"))
        assert answer.status_code == 200, answer.text
        yield caller


def test_control_on_which_nothing_is_written_is_kept(swept: Caller) -> None:
    """Whoever made the channels keeps them alive."""
    clip = bunny(size=SIZE, frames=225, audio=False)
    eventually(lambda: swept.input.segments, "input subscribed")
    swept.publish(clip).result(DEADLINE_SECONDS)
    # The channel is still heard, and nobody's number was taken meanwhile.
    swept.catch_up()
    swept.control(b'{"a": 1}')
    swept.control(b'{"b": 2}')
    eventually(lambda: len(swept.events("params_updated")) == 2, "params_updated")
    swept.finish()
    assert times(frames(swept.output())) == times(frames(joined(clip)))
    assert swept.stopped()["reason"] == "input_ended"
    assert swept.events("error") == []
    assert swept.server.events("control message ignored") == []


def test_channels_that_were_used_are_kept_without_a_number_of_theirs(swept: Caller) -> None:
    """Writers count for themselves: what comes with a number that is taken would be ignored."""
    eventually(lambda: swept.input.segments, "input subscribed")
    send(swept)
    swept.control(b'{"a": 1}')
    eventually(lambda: swept.events("params_updated"), "params_updated")
    ending = time.monotonic() + 1.5 * SWEPT_SECONDS
    eventually(lambda: time.monotonic() > ending, "the sweeper has passed")
    swept.control(b'{"b": 2}')
    eventually(lambda: len(swept.events("params_updated")) == 2, "params_updated")
    send(swept, NEXT_CLIP)
    swept.finish()
    assert times(frames(swept.output())) == times(frames(joined(CLIP + NEXT_CLIP)))


def test_input_that_has_not_begun_is_kept(swept: Caller) -> None:
    ending = time.monotonic() + 1.5 * SWEPT_SECONDS
    eventually(lambda: time.monotonic() > ending, "the sweeper has passed")
    swept.catch_up()
    send(swept)
    swept.finish()
    assert times(frames(swept.output())) == times(frames(joined(CLIP)))


def test_the_output_is_kept_when_the_pictures_stop(swept: Caller) -> None:
    """Sound alone has no keyframe to begin a segment with."""
    clip = bunny(size=SIZE)
    first, *others = clip
    without = [[(at, only_sound(data)) for at, data in segment] for segment in others]
    eventually(lambda: swept.input.segments, "input subscribed")
    swept.publish([first, *without]).result(DEADLINE_SECONDS)
    swept.finish()
    assert swept.stopped()["reason"] == "input_ended"
    assert sound(swept.output()) == sound(joined(clip))


def only_sound(data: bytes) -> bytes:
    """Without the packets of the pictures."""
    packets = [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
    return b"".join(one for one in packets if int.from_bytes(one[1:3]) & 0x1FFF != PICTURES_PID)


@pytest.mark.parametrize(("latest", "ended"), [(3, ["2"]), (4, [])])
def test_keeping_a_channel_ends_no_segment_that_has_begun(
    monkeypatch: pytest.MonkeyPatch, latest: int, ended: list[str]
) -> None:
    """The writer may begin while the reader of segment 3 decides that nobody writes."""
    monkeypatch.setattr(subscriber, "SILENT_SECONDS", 0.1)
    asked: list[str] = []
    posted: list[str] = []

    async def read(request: web.Request) -> web.Response:
        asked.append(request.match_info["index"])
        if asked == ["3"]:
            await asyncio.Event().wait()
        return web.Response(status=404)

    async def write(request: web.Request) -> web.Response:
        posted.append(request.match_info["index"])
        return web.Response()

    async def tell_next(_: web.Request) -> web.Response:
        return web.Response(headers={"Lp-Trickle-Latest": str(latest)})

    async def wait() -> None:
        app = web.Application()
        app.add_routes(
            [web.get("/next", tell_next), web.get("/{index}", read), web.post("/{index}", write)]
        )
        listener = Listener(app)
        port = await listener.open("127.0.0.1", 0, None)
        async with new_client(tls=False) as http:
            ours = Subscriber(http, f"http://127.0.0.1:{port}", keep_alive_seconds=0)
            assert (await ours.request(3)).status == 404
        await listener.close()

    asyncio.run(asyncio.wait_for(wait(), DEADLINE_SECONDS))
    assert (asked, posted) == (["3", "3"], ended)


def test_full_outbox_drops_oldest_and_counts() -> None:
    """A channel that takes nothing fills no memory."""
    lost: list[None] = []

    async def say() -> list[str | None]:
        data = outbox.DataOutbox(lambda: lost.append(None))
        for n in range(outbox.MAX_WAITING + 10):
            data.put(str(n))
        return [await data.get() for _ in range(outbox.MAX_WAITING)]

    assert asyncio.run(say()) == [str(n) for n in range(10, outbox.MAX_WAITING + 10)]
    assert len(lost) == 10


def test_lines_of_data_share_a_segment(
    trickle: TrickleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is sent at once, and a new segment is begun only now and then."""
    monkeypatch.setattr(outbox, "SEGMENT_SECONDS", 0.3)
    url = trickle.create("lines", "application/jsonl")
    channel = trickle.channels["lines"]

    def first() -> tuple[bytes, bool] | None:
        segment = channel.get(0)
        return (bytes(segment.data), segment.closed) if segment else None

    async def say() -> None:
        data = outbox.DataOutbox(lambda: None)
        async with publishing(url, "application/jsonl") as ours:
            task = asyncio.create_task(data.publish(ours))
            for line in ("1", "2"):
                data.put(line)
            await asyncio.to_thread(eventually, lambda: first() == (b"1\n2\n", False), "lines")
            await asyncio.to_thread(eventually, lambda: first() == (b"1\n2\n", True), "the end")
            data.put("3")
            data.end()
            await task
        assert [bytes(segment.data) for segment in channel.segments[:2]] == [b"1\n2\n", b"3\n"]

    asyncio.run(say())


# Control


def test_last_events_wait_for_a_late_reader(
    trickle: TrickleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server forgets what it has when the channel is closed."""
    monkeypatch.setattr(publisher, "LINGER_SECONDS", 3)
    url = trickle.create("last-words", "application/json")

    async def say() -> None:
        async with new_client(tls=False) as http:
            ours = Publisher(http, url, "application/json", print)
            await ours.publish(b"{}")
            closing = asyncio.create_task(ours.close_channel())
            await asyncio.wait([closing], timeout=0.5)
            answer = await asyncio.to_thread(httpx.get, f"{url}/0")
            assert (answer.status_code, answer.content) == (200, b"{}")
            await closing
        assert "last-words" not in trickle.channels

    asyncio.run(say())


@pytest.mark.parametrize("form", [b'{"do": "invert"}', b'{"params": {"do": "invert"}}'])
def test_parameters_on_control_are_applied(caller: Caller, form: bytes) -> None:
    """Gateways repeat the last update there, as it came, after a swap."""
    caller.open({"do": "echo", "a": 1})
    send(caller)
    caller.control(ALIVE)
    caller.control(form)
    (event,) = eventually(lambda: caller.events("params_updated"), "params_updated")
    assert event["params"] == {"do": "invert", "a": 1}
    send(caller, NEXT_CLIP)
    caller.finish()
    given, got = frames(joined(CLIP + NEXT_CLIP)), frames(caller.output())
    assert times(got) == times(given)
    for n, (before, after) in enumerate(zip(given, got, strict=True)):
        expected = brightness(before) if n < 23 else 255 - brightness(before)
        assert n in (23, 24) or abs(brightness(after) - expected) < 12
    assert len(caller.events("params_updated")) == 1


def test_refused_parameters_change_nothing(caller: Caller) -> None:
    caller.open({"do": "invert"})
    caller.control(b'{"refuse": true, "do": "echo"}')
    (event,) = eventually(lambda: caller.events("error"), "error")
    assert event["error"] == {
        "type": "bad_request",
        "field": "refuse",
        "message": "refuse: must not be set",
    }
    send(caller)
    caller.control(b'{"b": 2}')
    (event,) = eventually(lambda: caller.events("params_updated"), "params_updated")
    assert event["params"] == {"do": "invert", "b": 2}
    caller.finish()
    given, got = frames(joined(CLIP)), frames(caller.output())
    assert abs(255 - brightness(given[-1]) - brightness(got[-1])) < 12


@pytest.mark.parametrize(
    "message",
    [
        b"no JSON",
        b"[1]",
        b"7",
        b'"text"',
        b"\xff",
        b'{"keep": "waiting"}',
        b'{"keep": "alive", "do": "invert"}',
        b'{"gain": NaN}',
        b'{"gain": 1e999}',
        50_000 * b"[",
        50_000 * b'{"a":',
        b'{"a": "' + bytes(2_000_000).replace(b"\0", b"a") + b'"}',
    ],
    ids=lambda message: message[:20].decode("latin-1"),
)
def test_other_messages_are_ignored_and_logged(caller: Caller, message: bytes) -> None:
    def ignored() -> list[Any]:
        events = caller.server.events("control message ignored")
        return [event for event in events if event["session_id"] == caller.id]

    caller.begin({"a": 1})
    eventually(lambda: caller.trickle.channels[f"{caller.id}-control"].segments, "subscribed")
    for sent in (ALIVE, message, b"", b'{"b": 2}'):
        caller.control(sent)
    (event,) = eventually(lambda: caller.events("params_updated"), "params_updated")
    assert event["params"] == {"a": 1, "b": 2}
    assert len(ignored()) == 1
    assert caller.events("error") == []


def test_control_that_is_too_fast_to_be_followed_ends_nothing(caller: Caller) -> None:
    """Whatever segment is asked for, it is not kept any more."""
    with run_hostile_server(GONE) as url:
        caller.open(control_url=f"{url}/control")
        send(caller)
        caller.finish()
    assert caller.stopped()["reason"] == "input_ended"
    assert caller.stopped()["frames_out"] == 25


def test_control_that_is_silent_ends_the_session(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    """Orchestrators don't always say that a stream is over (byoc/stream_orchestrator.go)."""
    with (
        start_server(BYOC_CONTROL_TIMEOUT_SECONDS="1", **PATIENT) as server,
        Caller(server, trickle, "silent") as silent,
        Caller(server, trickle, "heard") as heard,
    ):
        silent.open()
        heard.open()
        send(silent)

        def gone() -> bool:
            heard.control(ALIVE)
            time.sleep(0.05)
            return bool(silent.events("stopped"))

        eventually(gone, "gone")
        assert heard.status()["state"] == "streaming"
        assert silent.stopped()["reason"] == "control_silent"
        eventually(lambda: silent.output() and len(frames(silent.output())) == 25, "all frames")
        eventually(lambda: heard.events("stopped"), "stopped")
        assert heard.stopped()["reason"] == "control_silent"


# Ends


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("subscribe_url", "input_ended"),
        ("control_url", "control_closed"),
        ("events_url", "events_closed"),
    ],
)
def test_a_closed_channel_ends_the_session(caller: Caller, key: str, reason: str) -> None:
    """With all that was accepted."""
    ended = caller.server.metric("byoc_sessions_total", outcome=reason) or 0
    caller.open()
    send(caller)
    caller.close(key)
    eventually(lambda: not caller.status(), "ended")
    eventually(lambda: f"{caller.id}-publish" not in caller.trickle.channels, "output closed")
    eventually(lambda: caller.output() and len(frames(caller.output())) == 25, "all frames")
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert caller.server.metric("byoc_sessions_total", outcome=reason) == ended + 1
    if key != "events_url":
        eventually(lambda: caller.events("stopped"), "stopped")
        assert caller.stopped()["reason"] == reason
        assert caller.stopped()["frames_out"] == 25


def test_a_closed_output_ends_the_session(caller: Caller) -> None:
    caller.open()
    send(caller)
    caller.close("publish_url")
    caller.publish(NEXT_CLIP, speed=10)
    eventually(lambda: caller.events("stopped"), "stopped")
    assert caller.stopped()["reason"] == "output_closed"


def test_closed_data_ends_nothing(caller: Caller) -> None:
    """Who reads it decides about the stream, not we."""
    caller.open({"do": "count"})
    caller.close("data_url")
    send(caller)
    caller.finish()
    assert caller.stopped()["reason"] == "input_ended"
    assert len(frames(caller.output())) == 25


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("subscribe_url", "input_ended"),
        ("control_url", "control_closed"),
        ("events_url", "events_closed"),
        ("publish_url", "output_closed"),
    ],
)
def test_a_channel_that_never_was_ends_the_session(caller: Caller, key: str, reason: str) -> None:
    """404 is final; with a first segment the output's end is seen."""
    ended = caller.server.metric("byoc_sessions_total", outcome=reason) or 0
    caller.begin(**{key: f"{caller.trickle.url}/{caller.id}-nothing"})
    if key == "publish_url":
        caller.publish(CLIP, speed=10)
    eventually(lambda: not caller.status(), "ended")
    assert caller.server.metric("byoc_sessions_total", outcome=reason) == ended + 1


def test_nothing_is_closed_while_the_stream_lives(caller: Caller) -> None:
    """The end of out or data is the end of the stream at the gateway."""
    caller.open({"do": "count"})
    send(caller)
    for _ in range(2):
        caller.control(b'{"refuse": true}')
    eventually(lambda: caller.events("error"), "error")
    assert {f"{caller.id}-{key}" for key in ("publish", "data")} <= set(caller.trickle.channels)
    caller.finish()
    for key in ("publish", "data", "events"):
        eventually(partial(closed, caller, key), key)


@pytest.mark.parametrize("gap", [0, 1, 50])
def test_the_publisher_starts_anew(caller: Caller, gap: int) -> None:
    """It goes on where it was, or far ahead: 470 and empty segments are no end."""
    caller.open()
    send(caller)
    base = caller.urls["subscribe_url"]
    latest = int(httpx.get(f"{base}/next", verify=False).headers["Lp-Trickle-Latest"])
    first = latest + gap
    for index in range(3):  # what is at the jump itself may be missed
        headers = {"Lp-Trickle-Reset": "1"} if index == 0 else {}
        content = b"" if index < 2 else joined(NEXT_CLIP)
        httpx.post(f"{base}/{first + index}", content=content, headers=headers, verify=False)
        eventually(lambda: caller.input.get(caller.input.next_index), "next one is waited for")
    caller.finish()
    assert times(frames(caller.output())) == times(frames(joined(CLIP + NEXT_CLIP)))
    assert caller.events("error") == []


def test_words_of_the_model_are_passed_on_in_order(caller: Caller) -> None:
    caller.play(CLIP, params={"do": "count"}, speed=2)
    assert [event["frames"] for event in caller.events("counted")] == list(range(1, 26))
