"""Input that nobody would send on purpose costs what is damaged, and the caller is told."""

import io
import random
from collections.abc import Callable, Iterator

import av
import pytest
from av.container import InputContainer

from emulator.container import Container, StartContainer, eventually
from emulator.trickle import TrickleServer
from streaming import Caller, Clip, Recorder, bunny, frames, joined, sound, times

SMALL = (320, 180)
CLIP = bunny(size=SMALL, frames=75)
PACKET_BYTES = 188
START_OF_A_PICTURE = b"\0\0\0\1\x65"
# Of the tables, as libav sends them.
PROGRAM_PID = 4096
H264, AAC = 0x1B, 0x0F
CHANGED = "the input's streams have changed, which is not supported: start a new session"


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


# Streams that change: what the sound's place carries would go past the model


def pid_of(packet: bytes) -> int:
    return int.from_bytes(packet[1:3]) & 0x1FFF


def split(data: bytes) -> list[bytes]:
    return [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]


def content(packet: bytes) -> bytes:
    return packet[4 + (1 + packet[4] if packet[3] & 0x20 else 0) :]


def carried(data: bytes) -> bytes:
    """What the packets of each stream hold, one stream after the other."""
    packets = sorted(split(data), key=pid_of)
    return b"".join(map(content, packets))


def pictures(clip: Clip) -> list[bytes]:
    """As they are encoded."""
    with av.open(io.BytesIO(joined(clip)), format="mpegts") as container:
        assert isinstance(container, InputContainer)
        return [bytes(packet) for packet in container.demux(video=0) if packet.pts is not None]


def sound_first(clip: Clip) -> Clip:
    """With its sound where video usually is."""
    recorder = Recorder()
    with (
        av.open(io.BytesIO(joined(clip)), format="mpegts") as source,
        av.open(recorder, "w", format="mpegts", options={"mpegts_copyts": "1"}) as output,
    ):
        assert isinstance(source, InputContainer)
        streams = {
            kind: output.add_stream_from_template(source.streams.get({kind: 0})[0])
            for kind in ("audio", "video")
        }
        for packet in source.demux():
            if packet.pts is not None:
                packet.stream = streams[packet.stream.type]
                output.mux(packet)
    return [raw(recorder.take())]


@pytest.mark.parametrize("hidden", [b"", noise(500)], ids=["seen", "behind what is no video"])
@pytest.mark.parametrize("unprocessed", ["pass", "drop"])
def test_video_in_the_place_of_sound_does_not_come_out(
    start_server: StartContainer, trickle: TrickleServer, unprocessed: str, hidden: bytes
) -> None:
    first = sound_first(bunny(size=SMALL, frames=50))
    second = bunny(size=SMALL, first=50, frames=50, audio=False)
    settings = {"BYOC_UNPROCESSED_FRAMES": unprocessed, "BYOC_MAX_LATENCY_SECONDS": "20"}
    with start_server(**settings) as server, Caller(server, trickle, "place") as caller:
        caller.open({"do": "invert"})
        caller.publish([*first, raw(hidden + joined(second))])
        eventually(lambda: caller.events("stopped"), "stopped")
        eventually(lambda: not caller.status(), "ended")
        assert caller.stopped()["reason"] == "input_changed"
        assert errors(caller)[-1] == CHANGED
        assert server.errors("bad_request") == len(errors(caller))
        assert server.metric("byoc_sessions_total", outcome="input_changed") == 1
        eventually(lambda: "place-publish" not in trickle.channels, "output closed")
        got = carried(caller.output())
        assert not [one for one in pictures(second) if one[len(one) // 2 :][:64] in got]
        # What came before is there.
        if not hidden:
            assert times(frames(caller.output())) == times(frames(joined(first)))
            assert sound(caller.output()) == sound(joined(first))


def checksum(data: bytes) -> bytes:
    """CRC-32/MPEG-2."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte * 2**24
        for _ in range(8):
            state = (state * 2 ^ (0x04C11DB7 if state >= 2**31 else 0)) & 0xFFFFFFFF
    return state.to_bytes(4)


def table(
    streams: dict[int, int], *, version: int = 0, current: bool = True, descriptor: bytes = b""
) -> bytes:
    """A program's."""
    body = bytes([0, 1, 0xC0 | version * 2 | current, 0, 0, 0xE1, 0, 0xF0, 0])
    for pid, kind in streams.items():
        body += bytes([kind]) + (0xE000 | pid).to_bytes(2)
        body += (0xF000 | len(descriptor)).to_bytes(2) + descriptor
    section = b"\2" + (0xB000 | len(body) + 4).to_bytes(2) + body
    return section + checksum(section)


def packed(section: bytes, *, sizes: tuple[int, ...] = (183,)) -> list[bytes]:
    """In packets that hold so many bytes of it, behind an adaptation field that fills the rest."""
    packets, begins = [], True
    for number, size in enumerate(sizes):
        part, section = section[:size], section[size:]
        part = b"\0" * begins + part
        if size == sizes[-1] == 183:
            packet = b"\x47\x50\0" + bytes([0x10 | number]) + part.ljust(184, b"\xff")
        else:
            room = 184 - 2 - len(part)
            head = bytes([0x47, 0x50 if begins else 0x10, 0, 0x30 | number, room + 1, 0])
            packet = head + room * b"\xff" + part
        packets.append(packet)
        begins = False
    return packets


def with_tables(*packets: bytes) -> Clip:
    """The clip, whose program's tables are others from the second segment on."""
    one, *others = CLIP
    changed = [
        b"".join(packets) if pid_of(packet) == PROGRAM_PID else packet
        for packet in split(joined(others))
    ]
    return [one, raw(b"".join(changed))]


SAME = {256: H264, 257: AAC}
OTHER = {256: H264, 257: H264}
UNCHANGED = {
    "a new version": packed(table(SAME, version=1)),
    "another order": packed(table({257: AAC, 256: H264}, version=1)),
    "other descriptors": packed(table(SAME, version=1, descriptor=b"\x0a\4eng\0")),
    "in two packets": packed(table(SAME, version=1), sizes=(10, 16)),
    "one more stream": packed(table(SAME | {300: AAC}, version=1)),
    "not in force yet": packed(table(OTHER, version=1, current=False)),
    "damaged": packed(table(OTHER, version=1)[:-1] + b"?"),
    "half of it": packed(table(OTHER, version=1), sizes=(10,)),
}


@pytest.mark.parametrize("packets", UNCHANGED.values(), ids=UNCHANGED)
def test_tables_that_say_the_same_change_nothing(caller: Caller, packets: list[bytes]) -> None:
    caller.play(with_tables(*packets))
    assert times(frames(caller.output())) == times(frames(joined(CLIP)))
    assert sound(caller.output()) == sound(joined(CLIP))
    assert errors(caller) == []
    assert caller.stopped()["reason"] == "input_ended"


CHANGES = {
    "another type": packed(table(OTHER, version=1)),
    "in two packets": packed(table(OTHER, version=1), sizes=(10, 16)),
    "a stream is gone": packed(table({256: H264}, version=1)),
    "another place": packed(table({256: H264, 300: AAC}, version=1)),
}


@pytest.mark.parametrize("packets", CHANGES.values(), ids=CHANGES)
def test_streams_that_change_end_the_session(caller: Caller, packets: list[bytes]) -> None:
    clip = with_tables(*packets)
    caller.open()
    caller.publish(clip)
    eventually(lambda: caller.events("stopped"), "stopped")
    assert caller.stopped()["reason"] == "input_changed"
    assert errors(caller) == [CHANGED]
    eventually(lambda: "damage-publish" not in caller.trickle.channels, "output closed")
    assert times(frames(caller.output())) == times(frames(joined(clip[:1])))
