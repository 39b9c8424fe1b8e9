"""Input that nobody would send on purpose costs what is damaged, and the caller is told."""

import io
import random
from collections.abc import Callable, Iterator

import av
import pytest
from av.container import InputContainer

from emulator.container import Container, eventually
from emulator.trickle import TrickleServer
from streaming import Caller, Clip, Recorder, bunny, frames, joined, sound, times

SMALL = (320, 180)
CLIP = bunny(size=SMALL, frames=75)
PACKET_BYTES = 188
START_OF_A_PICTURE = b"\0\0\0\1\x65"


@pytest.fixture
def caller(server: Container, trickle: TrickleServer) -> Iterator[Caller]:
    with Caller(server, trickle, "damage") as caller:
        yield caller
        eventually(lambda: not caller.status(), "ended")


def raw(data: bytes) -> list[tuple[float, bytes]]:
    """A segment of it."""
    return [(0, data)]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def rewritten(clip: Clip, codec: str, change: Callable[[int, bytes], bytes]) -> Clip:
    """The clip with its video called another codec, and the content of each picture changed."""
    recorder, numbers = Recorder(), iter(range(1000))
    with (
        av.open(io.BytesIO(joined(clip)), format="mpegts") as source,
        av.open(recorder, "w", format="mpegts", options={"mpegts_copyts": "1"}) as output,
    ):
        assert isinstance(source, InputContainer)
        streams = {0: output.add_mux_stream(codec, width=SMALL[0], height=SMALL[1])}
        if source.streams.audio:
            streams[1] = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.pts is None:
                continue
            if packet.stream.type == "video":
                changed = av.Packet(change(next(numbers), bytes(packet)))
                changed.pts, changed.dts = packet.pts, packet.dts
                changed.time_base, changed.is_keyframe = packet.time_base, packet.is_keyframe
                changed.stream = streams[0]
                output.mux(changed)
            else:
                packet.stream = streams[1]
                output.mux(packet)
    return [raw(recorder.take())]


def errors(caller: Caller) -> list[str]:
    """What the caller is told is its own mistake; nothing else must be wrong."""
    told = [event["error"] for event in caller.events("error")]
    assert {error["type"] for error in told} <= {"bad_request"}
    return [error["message"] for error in told]


@pytest.mark.parametrize("size", [20_000, 500_000])
def test_what_is_no_video_is_skipped(caller: Caller, server: Container, size: int) -> None:
    counted = server.errors("bad_request")
    one, two, three = CLIP
    caller.play([one, raw(noise(size)), two, three])
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert sound(caller.output()) == sound(joined(CLIP))
    assert errors(caller) == ["a part of the input is no MPEG-TS: skipped"]
    assert server.errors("bad_request") == counted + 1


def test_what_is_no_video_may_come_first(caller: Caller) -> None:
    caller.play([raw(noise(100_000)), *CLIP])
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert errors(caller) == ["a part of the input is no MPEG-TS: skipped"]


@pytest.mark.parametrize("content", [noise(500_000), bytes(10_000), b"this is no video"])
def test_nothing_but_what_is_no_video(caller: Caller, server: Container, content: bytes) -> None:
    counted = server.errors("bad_request")
    caller.play([raw(content)])
    assert caller.output() == b""
    assert errors(caller) == ["a part of the input is no MPEG-TS: skipped"]
    assert server.errors("bad_request") > counted
    assert caller.stopped()["reason"] == "input_ended"


def test_input_that_ends_before_it_begins(caller: Caller, server: Container) -> None:
    counted = server.errors("bad_request")
    caller.play()
    assert caller.output() == b""
    assert errors(caller) == []
    assert server.errors("bad_request") == counted
    assert caller.stopped()["reason"] == "input_ended"


def test_segments_without_content(caller: Caller) -> None:
    one, two, three = CLIP
    caller.play([raw(b""), one, raw(b""), raw(b""), two, three, raw(b"")])
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert sound(caller.output()) == sound(joined(CLIP))
    assert errors(caller) == []


def test_a_segment_that_is_cut(caller: Caller, server: Container) -> None:
    counted = server.errors("bad_request")
    one, two, three = CLIP
    data = joined([two])
    within = len(data) // 2 // PACKET_BYTES * PACKET_BYTES + 100
    caller.play([one, raw(data[:within]), three])
    got = times(frames(caller.output()))
    given = [times(frames(joined([segment]))) for segment in CLIP]
    assert [moment for moment in got if moment not in given[1]] == given[0] + given[2]
    assert 0 < len([moment for moment in got if moment in given[1]]) < 25
    assert len(errors(caller)) == 1
    assert server.errors("bad_request") > counted


def test_pictures_that_are_damaged(caller: Caller, server: Container) -> None:
    """They come out as well as they can be decoded."""
    counted = server.errors("bad_request")

    def spoil(number: int, content: bytes) -> bytes:
        return content[:200] + noise(len(content) - 200) if number == 25 else content

    caller.play(rewritten(CLIP, "h264", spoil))
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert errors(caller) == ["a part of the video is damaged"]
    assert server.errors("bad_request") > counted


def test_pictures_that_can_not_be_decoded(caller: Caller, server: Container) -> None:
    counted = server.errors("bad_request")

    def spoil(number: int, content: bytes) -> bytes:
        return START_OF_A_PICTURE + noise(1000) if 20 <= number < 50 else content

    caller.play(rewritten(CLIP, "h264", spoil))
    got, given = times(frames(caller.output())), times(frames(joined(CLIP)))
    assert got[:20] + got[-25:] == given[:20] + given[-25:]
    assert sound(caller.output()) == sound(joined(CLIP))
    assert errors(caller)[0] == "a part of the video can't be decoded"
    assert server.errors("bad_request") >= counted + 20


def test_a_codec_that_can_not_be_decoded(caller: Caller, server: Container) -> None:
    """The caller is told what to send; the sound goes on."""
    counted = server.errors("bad_request")
    caller.play(rewritten(CLIP, "avs3", lambda number, content: content))
    assert errors(caller) == ["the video's codec can't be decoded: send H.264"]
    assert sound(caller.output()) == sound(joined(CLIP))
    assert server.errors("bad_request") == counted + 1


def test_a_codec_that_can_not_be_decoded_without_sound(caller: Caller) -> None:
    silent = bunny(size=SMALL, frames=50, audio=False)
    caller.play(rewritten(silent, "avs3", lambda number, content: content))
    assert errors(caller) == ["the video's codec can't be decoded: send H.264"]
    assert caller.output() == b""
