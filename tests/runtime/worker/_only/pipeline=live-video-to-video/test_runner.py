"""Behind a live-runner proxy: the container makes the channels, and gives sessions back."""

import asyncio
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import httpx
import pytest
from livepeer_gateway import LiveVideoToVideo, MediaPublishConfig, VideoOutputConfig

from callback import PUBLIC, TOKEN, Callback, run_callback
from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from emulator.trickle import TrickleServer
from harness import run_server
from streaming import Caller, bunny, frames, joined, pictures, times

LEGACY = "/live-video-to-video"
SIZE = (160, 90)
CLIP = bunny(size=SIZE, frames=25, audio=False)
NEXT_CLIP = bunny(size=SIZE, frames=25, first=25, audio=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """No frame is late on a slow machine."""
    folder = tmp_path_factory.mktemp("runner")
    with run_server(folder, BYOC_CAPACITY="2", BYOC_MAX_LATENCY_SECONDS="20") as server:
        yield server


@pytest.fixture
def orchestrator(server: Container, trickle: TrickleServer) -> Iterator[Callback]:
    with run_callback(trickle) as orchestrator:
        yield orchestrator
        for name in list(trickle.channels):
            trickle.close_channel(name)
        eventually(lambda: server.metric("byoc_sessions_active") == 0, "all sessions ended")


def start(
    server: Container,
    orchestrator: Callback,
    session: str,
    *,
    path: str = "/stream/start",
    **changes: str,
) -> httpx.Response:
    headers = orchestrator.headers(session) | changes
    return server.jobs.post(path, json={"params": {"do": "invert"}}, headers=headers)


@pytest.mark.parametrize("path", ["/stream/start", LEGACY])
def test_the_container_makes_the_channels(
    server: Container, trickle: TrickleServer, orchestrator: Callback, path: str
) -> None:
    """It uses the internal addresses; the caller gets the public ones, by names of its own."""
    with Caller(server, trickle, "made") as caller:
        answer = start(server, orchestrator, "made", path=path)
        assert answer.status_code == 200
        assert answer.json() == {
            "session_id": "made",
            "publish_url": f"{PUBLIC}/made-subscribe",
            "subscribe_url": f"{PUBLIC}/made-publish",
            "control_url": f"{PUBLIC}/made-control",
            "events_url": f"{PUBLIC}/made-events",
            "data_url": f"{PUBLIC}/made-data",
        }
        assert orchestrator.made == {
            "in": "video/mp2t",
            "out": "video/mp2t",
            "control": "application/json",
            "events": "application/json",
            "data": "application/jsonl",
        }
        assert orchestrator.refused == 0
        eventually(lambda: caller.input.segments, "input subscribed")
        caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
        assert orchestrator.stopped == []
        caller.finish()
        assert times(frames(caller.output())) == times(frames(joined(CLIP)))
        assert caller.stopped()["reason"] == "input_ended"
        eventually(lambda: orchestrator.stopped == ["made"], "given back")
        assert orchestrator.refused == 0


def test_the_official_sdk_is_served(
    server: Container, trickle: TrickleServer, orchestrator: Callback
) -> None:
    """Its own client publishes, controls and watches, with what the container answered."""
    orchestrator.private = False
    answer = start(server, orchestrator, "sdk").json()

    async def play() -> tuple[list[Any], list[Any]]:
        job = LiveVideoToVideo.from_json(answer)
        output = job.media_output(start_seq=0)
        media = job.start_media(MediaPublishConfig(tracks=[VideoOutputConfig(fps=25)]))
        seen: list[Any] = []
        events: list[Any] = []

        async def watch() -> None:
            async for decoded in output.frames():
                seen.append(decoded.frame)

        async def listen() -> None:
            assert job.events is not None
            async for event in job.events(start_seq=0):
                events.append(event["event"])

        watching = [asyncio.create_task(part()) for part in (watch, listen)]
        assert job.control is not None
        await job.control.write({"do": "echo"})
        for n, picture in enumerate(pictures(*SIZE)[:50]):
            picture.pts, picture.time_base = n, Fraction(1, 25)
            await media.write_frame(picture)
            await asyncio.sleep(0.04)
        await job.close()
        await asyncio.wait_for(asyncio.gather(*watching), DEADLINE_SECONDS)
        await output.close()
        return seen, events

    seen, events = asyncio.run(play())
    kinds = [event["type"] for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "stopped"
    assert "params_updated" in kinds
    assert len(seen) == events[-1]["frames_out"] >= 40
    assert {(picture.width, picture.height) for picture in seen} == {SIZE}
    eventually(lambda: orchestrator.stopped == ["sdk"], "given back")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("subscribe_url", "input_ended"),
        ("publish_url", "output_closed"),
    ],
)
def test_a_session_ends_with_its_channels(
    server: Container, trickle: TrickleServer, orchestrator: Callback, key: str, reason: str
) -> None:
    """Orchestrators close them when the session is released; to give it back twice is fine."""
    with Caller(server, trickle, "released") as caller:
        assert start(server, orchestrator, "released").status_code == 200
        eventually(lambda: caller.input.segments, "input subscribed")
        caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
        eventually(caller.segments, "output")
        caller.close(key)
        caller.publish(NEXT_CLIP, speed=10)
        eventually(lambda: caller.events("stopped"), "stopped")
        assert caller.stopped()["reason"] == reason
        eventually(lambda: orchestrator.stopped == ["released"], "given back")


def test_a_session_does_without_control(
    server: Container, trickle: TrickleServer, orchestrator: Callback
) -> None:
    """Its callers need not write on it; the end of the session closes the input, too."""
    with Caller(server, trickle, "alone") as caller:
        assert start(server, orchestrator, "alone").status_code == 200
        eventually(lambda: caller.input.segments, "input subscribed")
        caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
        caller.close("control_url")
        eventually(lambda: server.events("control channel gone"), "noticed")
        caller.publish(NEXT_CLIP, speed=10).result(DEADLINE_SECONDS)
        caller.finish()
        assert times(frames(caller.output())) == times(frames(joined(CLIP + NEXT_CLIP)))
        assert caller.stopped()["reason"] == "input_ended"
        assert caller.events("error") == []


def test_an_explicit_stop_leaves_the_reservation(
    server: Container, trickle: TrickleServer, orchestrator: Callback
) -> None:
    """Its caller may start again in the same session."""
    for name in ("kept", "kept"):
        with Caller(server, trickle, name) as caller:
            assert start(server, orchestrator, name).status_code == 200
            answer = server.jobs.post("/stream/stop", headers=orchestrator.headers(name))
            assert answer.status_code == 200
            assert not caller.status()
    assert orchestrator.stopped == []


def test_a_session_without_input_is_given_back(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    """Nobody else ends one that was left alone (ai/runner/live_runner.go); control counts for
    nothing.
    """
    with (
        start_server(BYOC_SESSION_IDLE_SECONDS="1", BYOC_CAPACITY="3") as server,
        run_callback(trickle) as orchestrator,
        Caller(server, trickle, "left") as left,
        Caller(server, trickle, "used") as used,
        Caller(server, trickle, "alone") as alone,
    ):
        for caller in (left, used):
            assert start(server, orchestrator, caller.id).status_code == 200
        alone.open(control_url=None)
        sending = used.publish(bunny(size=SIZE, frames=100, audio=False))

        def gone() -> bool:
            left.control(b'{"keep":"alive"}')
            return bool(left.events("stopped") and alone.events("stopped"))

        eventually(gone, "gone")
        assert {one.stopped()["reason"] for one in (left, alone)} == {"idle"}
        assert used.status()["state"] == "streaming"
        eventually(lambda: orchestrator.stopped == ["left"], "given back")
        sending.result(DEADLINE_SECONDS)
        eventually(lambda: orchestrator.stopped == ["left", "used"], "given back")
        assert orchestrator.refused == 0


def test_giving_back_is_tried_until_it_succeeds(
    server: Container, trickle: TrickleServer, orchestrator: Callback
) -> None:
    """Whoever waits for the end of the stream waits for that; it takes no place here."""
    orchestrator.failing = 3
    with Caller(server, trickle, "again") as caller:
        assert start(server, orchestrator, "again").status_code == 200
        eventually(lambda: caller.input.segments, "input subscribed")
        caller.end_input()
        caller.wait_ended()
    eventually(lambda: orchestrator.stopped == ["again"], "given back")
    assert orchestrator.failing == 0
    (told,) = server.events("session not released yet")
    assert (told["session_id"], told["reason"]) == ("again", "it answers 500")


def test_sessions_are_given_back_at_the_stop(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    with start_server() as server, run_callback(trickle) as orchestrator:
        with Caller(server, trickle, "last"):
            assert start(server, orchestrator, "last").status_code == 200
            assert server.stop() == 0
        assert orchestrator.stopped == ["last"]


@pytest.mark.parametrize(
    "fault",
    [
        (401, {"error": {"message": "no"}}),
        (404, {"error": {"message": "no"}}),
        (480, b""),
        (482, b""),
        (500, b"oh"),
        (200, b""),
        (200, b"no JSON"),
        (200, b"[]"),
        (200, {"channels": []}),
        (200, {"channels": [{"name": "in"}]}),
        (200, {"channels": None}),
    ],
)
@pytest.mark.parametrize("path", ["/stream/start", LEGACY])
def test_a_callback_that_fails_is_told(
    server: Container, orchestrator: Callback, fault: tuple[int, Any], path: str
) -> None:
    before = server.errors("transport")
    orchestrator.fault = fault
    answer = start(server, orchestrator, "failed", path=path)
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["type"] == "transport"
    assert error["message"].startswith("the orchestrator did not create the session's channels")
    assert "http" not in answer.text
    assert server.errors("transport") == before + 1
    assert server.metric("byoc_sessions_active") == 0


@pytest.mark.parametrize(
    "control", ["http://127.0.0.1:9/x", "no address", "http://[", "http://a:b/"]
)
def test_a_callback_that_can_not_be_reached_is_told(
    server: Container, orchestrator: Callback, control: str
) -> None:
    changes = {"Livepeer-Session-Control": control}
    answer = start(server, orchestrator, "unreached", **changes)
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "transport"


def test_a_wrong_session_token_is_no_401(server: Container, orchestrator: Callback) -> None:
    """Nothing but the container's own token is: orchestrators drop the capability on a 401."""
    changes = {"Livepeer-Session-Token": TOKEN[:-1]}
    assert start(server, orchestrator, "wrong", **changes).status_code == 502
    assert orchestrator.refused == 1


def test_half_of_the_headers_is_no_reservation(server: Container, orchestrator: Callback) -> None:
    answer = start(server, orchestrator, "half", **{"Livepeer-Session-Token": ""})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "subscribe_url"
    assert orchestrator.made == {}


def test_a_session_is_admitted_once(
    server: Container, trickle: TrickleServer, orchestrator: Callback
) -> None:
    with Caller(server, trickle, "twice"):
        starts = [server.pool.submit(start, server, orchestrator, "twice") for _ in range(4)]
        codes = sorted(answer.result().status_code for answer in starts)
        assert codes == [200, 409, 409, 409]
        assert server.metric("byoc_sessions_active") == 1


def test_no_more_than_capacity_is_admitted(
    server: Container, trickle: TrickleServer, orchestrator: Callback
) -> None:
    names = [f"crowd-{n}" for n in range(6)]
    starts = [server.pool.submit(start, server, orchestrator, name) for name in names]
    answers = [answer.result() for answer in starts]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)
    assert server.metric("byoc_sessions_active") == 2
