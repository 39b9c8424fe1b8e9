"""What comes out is what went in: the pictures that the model made, the sound, and their times."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from numpy.typing import NDArray

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from emulator.trickle import TrickleServer
from streaming import Caller, Clip, Recorder, bunny, frames, joined, sound, times

SMALL = (320, 180)
SECOND = 90_000
# Timestamps of MPEG-TS have 33 bits, which last for 26.5 hours.
LAST_SECOND = 2**33 // SECOND - 1
BT709 = 1
FULL_RANGE = 2
# What compression may do to a picture, of 255: to its points, and to the mean of any of its parts.
NOISE, SHADE = 6, 6.5
ROWS, COLUMNS = 9, 16


@pytest.fixture
def caller(server: Container, trickle: TrickleServer) -> Iterator[Caller]:
    with Caller(server, trickle, "media") as caller:
        yield caller
        eventually(lambda: not caller.status(), "ended")


def rgb(picture: av.VideoFrame) -> NDArray[np.int16]:
    return picture.to_ndarray(format="rgb24").astype(np.int16)


def same(given: NDArray[np.int16], got: NDArray[np.int16]) -> bool:
    """But for what compression does."""
    difference = given - got
    height, width, colors = difference.shape
    parts = difference.reshape(ROWS, height // ROWS, COLUMNS, width // COLUMNS, colors)
    return bool(abs(difference).mean() < NOISE and (abs(parts.mean((1, 3))) < SHADE).all())


def looks(data: bytes) -> tuple[Any, ...]:
    """Of the video, as its header tells."""
    with av.open(io.BytesIO(data), format="mpegts") as container:
        assert isinstance(container, InputContainer)
        video = container.streams.video[0]
        size = video.width, video.height
        return *size, video.sample_aspect_ratio, video.average_rate, video.colorspace


def packets(data: bytes) -> list[tuple[str, Any]]:
    """All packets and what they are of, in the order of their arrival."""
    with av.open(io.BytesIO(data), format="mpegts") as container:
        assert isinstance(container, InputContainer)
        found = [(packet.stream.type, packet) for packet in container.demux()]
        return [(kind, packet) for kind, packet in found if packet.pts is not None]


SHAPES: dict[str, dict[str, Any]] = {
    "25 a second": {"frames": 75},
    "30 a second, for an hour": {"rate": 30, "first": 100_000, "frames": 60},
    "at the end of the timestamps": {"first": 25 * LAST_SECOND, "frames": 50},
    "other pixels": {"size": (384, 288), "sample_aspect_ratio": Fraction(4, 3), "frames": 30},
    "larger": {"size": (640, 360), "frames": 20},
    "colors of HD": {"colorspace": BT709, "frames": 30},
    "colors of all values": {"color_range": FULL_RANGE, "frames": 30},
    "pictures out of order": {"b_frames": 2, "frames": 30},
    "HEVC": {"codec": "libx265", "frames": 30},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pictures_come_out_as_they_went_in(caller: Caller, shape: dict[str, Any]) -> None:
    clip = bunny(**{"size": SMALL} | shape)
    caller.play(clip, params={"do": "invert"})
    given, got = frames(joined(clip)), frames(caller.output())
    assert len(given) == shape["frames"]
    assert times(got) == times(given)
    assert all(same(255 - rgb(one), rgb(other)) for one, other in zip(given, got, strict=True))
    assert looks(caller.output()) == looks(joined(clip))
    assert caller.stopped()["frames_dropped"] == {}


@pytest.mark.parametrize("do", ["echo", "half"])
@pytest.mark.parametrize("first", [0, 100_000])
def test_sound_is_not_touched(caller: Caller, do: str, first: int) -> None:
    clip = bunny(size=SMALL, first=first, frames=50)
    caller.play(clip, params={"do": do})
    assert len(sound(joined(clip))) > 90
    assert sound(caller.output()) == sound(joined(clip))
    assert times(frames(caller.output())) == times(frames(joined(clip)))


def test_sound_comes_with_its_picture(caller: Caller) -> None:
    """In sync by when they are sent, too: players do not buffer for long."""
    caller.play(bunny(size=SMALL, frames=75))
    shown = Fraction(0)
    for kind, packet in packets(caller.output()):
        moment = packet.pts * packet.time_base
        if kind == "video":
            shown = moment
        assert abs(moment - shown) < Fraction(1, 2)


def test_a_model_may_change_the_size(caller: Caller) -> None:
    clip = bunny(size=(642, 362), frames=30)
    caller.play(clip, params={"do": "half"})
    given, got = frames(joined(clip)), frames(caller.output())
    # Video has even sides: 321 and 181 become these.
    assert {(picture.width, picture.height) for picture in got} == {(320, 180)}
    for one, other in zip(given, got, strict=True):
        expected = one.reformat(320, 180, "rgb24")
        assert same(rgb(expected), rgb(other))


def test_a_model_may_drop_pictures(caller: Caller, server: Container) -> None:
    dropped = server.metric("byoc_frames_dropped_total", reason="model") or 0
    clip = bunny(size=SMALL, frames=50)
    caller.play(clip, params={"do": "drop_odd"})
    assert times(frames(caller.output())) == times(frames(joined(clip)))[1::2]
    assert sound(caller.output()) == sound(joined(clip))
    assert caller.stopped()["frames_dropped"] == {"model": 25}
    assert server.metric("byoc_frames_dropped_total", reason="model") == dropped + 25


def test_every_segment_can_be_played_alone(caller: Caller) -> None:
    clip = bunny(size=SMALL, frames=100)
    caller.play(clip)
    segments = [segment for segment in caller.segments() if segment]
    shown = [times(frames(segment)) for segment in segments]
    assert list(chain(*shown)) == times(frames(joined(clip)))
    for segment, moments in zip(segments, shown, strict=True):
        video = [packet for kind, packet in packets(segment) if kind == "video"]
        assert video[0].is_keyframe
        assert [packet.pts for packet in video] == moments
        # No picture waits for a later one.
        assert all(packet.dts == packet.pts for packet in video)
    assert [later[0] - earlier[0] for earlier, later in pairwise(shown)] == 3 * [SECOND]


def test_a_source_without_sound(caller: Caller) -> None:
    clip = bunny(size=SMALL, frames=50, audio=False)
    caller.play(clip)
    assert times(frames(caller.output())) == times(frames(joined(clip)))
    assert sound(caller.output()) == []


def test_a_source_without_pictures(caller: Caller) -> None:
    clip = bunny(frames=75, video=False)
    caller.play(clip)
    assert len(sound(joined(clip))) > 140
    assert sound(caller.output()) == sound(joined(clip))
    assert len([segment for segment in caller.segments() if segment]) == 3
    assert caller.events("error") == []


def test_a_source_that_is_cut_anywhere(caller: Caller) -> None:
    """Networks do not keep the packets of MPEG-TS together."""
    data = joined(bunny(size=SMALL, frames=50))
    caller.play(
        [[(place / 1e6, data[place : place + 1000]) for place in range(0, len(data), 1000)]]
    )
    assert times(frames(caller.output())) == times(frames(data))
    assert sound(caller.output()) == sound(data)
    assert caller.events("error") == []


def test_a_source_that_changes_its_size(caller: Caller) -> None:
    small, large = bunny(size=SMALL, frames=25), bunny(size=(480, 270), first=25, frames=25)
    caller.play(small, large, params={"do": "invert"})
    given, got = frames(joined(small)) + frames(joined(large)), frames(caller.output())
    assert times(got) == times(given)
    for one, other in zip(given, got, strict=True):
        assert (other.width, other.height) == (one.width, one.height)
        assert same(255 - rgb(one), rgb(other))
    # The new size begins a segment, so that who comes in there can decode it.
    for segment in filter(None, caller.segments()):
        assert len({picture.width for picture in frames(segment)}) == 1


def test_a_source_that_starts_again(caller: Caller) -> None:
    """Its times jump back to zero."""
    old, new = bunny(size=SMALL, first=1000, frames=50), bunny(size=SMALL, frames=50)
    caller.play(old, new)
    given = times(frames(joined(old))) + times(frames(joined(new)))
    segments = [times(frames(segment)) for segment in caller.segments() if segment]
    assert list(chain(*segments)) == given
    assert segments[2][0] == 0
    assert all(moments == sorted(moments) for moments in segments)
    # The sound goes on with the picture.
    assert [part for part in sound(caller.output()) if part not in sound(joined(old))]
    assert sound(caller.segments()[3])[-1] == sound(joined(new))[-1]


def test_pictures_of_sessions_are_kept_apart(server: Container, trickle: TrickleServer) -> None:
    """Three at once, which differ in all that a session may choose."""
    plays: dict[str, dict[str, Any]] = {
        "echo": {"size": SMALL, "frames": 50},
        "invert": {"size": SMALL, "frames": 60, "rate": 30, "first": 1000},
        "half": {"size": (640, 360), "frames": 40, "first": 5000, "audio": False},
    }
    with ExitStack() as stack:
        callers = {do: stack.enter_context(Caller(server, trickle, do)) for do in plays}
        playing = [
            server.pool.submit(caller.play, bunny(**plays[do]), params={"do": do}, speed=3)
            for do, caller in callers.items()
        ]
        for play in playing:
            play.result(2 * DEADLINE_SECONDS)
        for do, caller in callers.items():
            clip = joined(bunny(**plays[do]))
            given, got = frames(clip), frames(caller.output())
            assert times(got) == times(given)
            assert sound(caller.output()) == sound(clip)
            for one, other in zip(given, got, strict=True):
                expected = one.reformat(320, 180, "rgb24")
                assert same(255 - rgb(expected) if do == "invert" else rgb(expected), rgb(other))


def test_a_picture_that_is_too_large(start_server: StartContainer, trickle: TrickleServer) -> None:
    """It is refused, wherever it comes in the stream; the sound and smaller ones go on."""
    width, height = 480, 270
    small, next_small = (bunny(size=SMALL, first=first, frames=25) for first in (0, 50))
    large = bunny(size=(width, height), first=25, frames=25)
    with start_server(
        BYOC_MAX_BODY_BYTES=str(3 * width * height - 1), BYOC_MAX_LATENCY_SECONDS="20"
    ) as server:
        for name, clips in {
            "first": [large, next_small],
            "later": [small, large, next_small],
        }.items():
            counted = server.errors("bad_request")
            with Caller(server, trickle, name) as caller:
                caller.play(*clips, params={"do": "invert"})
                error = caller.events("error")[0]["error"]
                assert error["type"] == "bad_request"
                assert "480x270" in error["message"]
                assert "BYOC_MAX_BODY_BYTES" in error["message"]
                assert server.errors("bad_request") == counted + 25
                allowed = [clip for clip in clips if clip is not large]
                given = list(chain(*(frames(joined(clip)) for clip in allowed)))
                got = frames(caller.output())
                assert times(got) == times(given)
                for one, other in zip(given, got, strict=True):
                    assert same(255 - rgb(one), rgb(other))
                assert len(sound(caller.output())) > 40 * len(clips)


def test_a_picture_of_the_limit_is_taken(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    clip = bunny(size=(482, 270), frames=10, audio=False)
    limit = str(3 * 482 * 270)
    with (
        start_server(BYOC_MAX_BODY_BYTES=limit, BYOC_MAX_LATENCY_SECONDS="20") as server,
        Caller(server, trickle, "limit") as caller,
    ):
        caller.play(clip)
        assert caller.events("error") == []
        assert times(frames(caller.output())) == times(frames(joined(clip)))


@pytest.mark.parametrize("place", ["first", "later", "cropped"])
def test_a_huge_picture_costs_little_memory(
    start_server: StartContainer, trickle: TrickleServer, place: str
) -> None:
    """Before small ones, or between them; `cropped` to a size that is allowed."""
    cropped = place == "cropped"
    small, next_small = (
        bunny(size=SMALL, first=first, frames=25, audio=False) for first in (0, 30)
    )
    with (
        start_server(BYOC_MAX_LATENCY_SECONDS="20") as server,
        Caller(server, trickle, "huge") as caller,
    ):
        caller.open({})
        if place != "first":
            caller.publish(small, speed=10).result(DEADLINE_SECONDS)
            eventually(lambda: caller.status()["frames_out"] >= 20, "frames out")
        before = peak_memory(server)
        caller.publish(huge(6144, 6144, cropped=cropped)).result(DEADLINE_SECONDS)
        caller.publish(next_small, speed=10).result(DEADLINE_SECONDS)
        caller.finish()
        assert "a picture of 6144x6144 is larger" in str(caller.events("error")[0])
        assert times(frames(caller.output()))[-25:] == times(frames(joined(next_small)))
        # One picture is of 57 MB, and of 113 MB once it is RGB.
        assert peak_memory(server) - before < (150 if cropped else 50) * 1024


def peak_memory(server: Container) -> int:
    """Of the main process so far, in KiB."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@cache
def huge(width: int, height: int, *, cropped: bool) -> Clip:
    """Three flat pictures from 1 s on, each decodable alone; `cropped` shows a corner."""
    recorder = Recorder()
    with av.open(recorder, "w", format="mpegts", options={"mpegts_copyts": "1"}) as output:
        assert isinstance(output, OutputContainer)
        encoder: Any = output.add_stream("libx264", rate=25)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
        crop = (
            BitStreamFilterContext(
                f"h264_metadata=crop_right={width - 320}:crop_bottom={height - 180}", encoder
            )
            if cropped
            else None
        )
        picture = av.VideoFrame(width, height, "yuv420p")
        picture.pts, picture.time_base = SECOND, Fraction(1, SECOND)
        (encoded,) = encoder.encode(picture)
        for packet in crop.filter(encoded) if crop else [encoded]:
            content = bytes(packet)
            for number in range(3):
                again = av.Packet(content)
                again.pts = again.dts = SECOND + number * SECOND // 25
                again.time_base, again.is_keyframe = Fraction(1, SECOND), True
                again.stream = encoder
                output.mux(again)
    return [[(0, recorder.take())]]
