"""The clip that sessions send in a loop, with a counter of each session's own in its pictures."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av import FFmpegError, VideoFrame
from av.video.frame import PictureType

from .counter import Counter, draw

LOOP_SECONDS = 10  # of the clip, at most
ENCODERS = 8  # at once: the clip is decoded once for so many sessions
CLOCK = 90_000
ENCODER = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1"}
# As a camera sends it: every picture at once, and tables before keyframes, where segments begin.
MUXER = {"flush_packets": "1", "mpegts_copyts": "1", "pat_period": "86400", "sdt_period": "86400"}


class SampleError(Exception):
    """One line that says what is wrong with the file."""


class Packet(NamedTuple):
    data: bytes
    is_keyframe: bool


class Clip:
    """`rate` pictures a second, `length` in all, of one size; then it begins anew."""

    def __init__(self, path: Path) -> None:
        """Raises SampleError."""
        self._path = path
        self._loops: dict[int, list[Packet]] = {}
        with self._open() as reader:
            video = reader.streams.video[0]
            self.rate = Fraction(video.average_rate or 25).limit_denominator(1001)
            self.width, self.height = video.width & ~1, video.height & ~1
        self.length = sum(1 for _ in self._frames())
        if not self.length:
            raise SampleError(f"{path}: no picture can be decoded")

    def __str__(self) -> str:
        size, seconds = f"{self.width}x{self.height}", float(self.length / self.rate)
        return f"{self._path}: {size} at {float(self.rate):g} frames a second, {seconds:.1f} s"

    def prepare(self, sessions: Sequence[int]) -> None:
        """Encode the loop of each of these sessions, unless that is done already."""
        missing = sorted(set(sessions) - set(self._loops))
        for first in range(0, len(missing), ENCODERS):
            encoders = {n: self._encoder() for n in missing[first : first + ENCODERS]}
            loops: dict[int, list[Packet]] = {session: [] for session in encoders}
            for number, frame in enumerate(self._frames()):
                for session, encoder in encoders.items():
                    picture = draw(frame, Counter(session, number))
                    picture.pts = number
                    loops[session] += packed(encoder, picture)
            for session, encoder in encoders.items():
                loops[session] += packed(encoder, None)
            self._loops |= loops

    def stream(self, session: int) -> Iterator[tuple[int, bool, bytes]]:
        """MPEG-TS without end: the number of each picture, whether a segment begins, the bytes."""
        sink = Sink()
        with av.open(sink, "w", format="mpegts", options=MUXER) as muxer:
            base = Fraction(1, CLOCK)
            stream = muxer.add_mux_stream("h264", width=1, height=1, time_base=base)
            for number, each in enumerate(itertools.cycle(self._loops[session])):
                packet: Any = av.Packet(each.data)
                packet.pts = packet.dts = self.time_stamp(number)
                packet.time_base, packet.stream = base, stream
                packet.is_keyframe = each.is_keyframe
                muxer.mux(packet)
                yield number, each.is_keyframe, sink.take()

    def time_stamp(self, number: int) -> int:
        """Of the picture with this number, in 1/90000 s."""
        return round(number * CLOCK / self.rate)

    def number(self, time_stamp: int) -> int:
        return round(time_stamp * self.rate / CLOCK)

    def _open(self) -> Any:
        try:
            reader = av.open(str(self._path))
        except (OSError, FFmpegError) as error:
            raise SampleError(f"{self._path}: {error.strerror or error}") from None
        if not reader.streams.video:
            raise SampleError(f"{self._path}: no video")
        return reader

    def _frames(self) -> Iterator[VideoFrame]:
        """At most LOOP_SECONDS, and what the counter can count."""
        with self._open() as reader:
            most = int(LOOP_SECONDS * self.rate)
            for frame in itertools.islice(reader.decode(video=0), most):
                yield frame.reformat(self.width, self.height, "yuv420p")

    def _encoder(self) -> Any:
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, "yuv420p"
        encoder.time_base, encoder.framerate = 1 / self.rate, self.rate
        encoder.gop_size = max(1, round(self.rate))
        encoder.max_b_frames = 0
        encoder.options = ENCODER
        return encoder


class Sink:
    """A file for libav, which keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def packed(encoder: Any, picture: VideoFrame | None) -> list[Packet]:
    """What the encoder has for one more picture, or at the end."""
    if picture:
        picture.pict_type = PictureType.NONE
    return [Packet(bytes(packet), packet.is_keyframe) for packet in encoder.encode(picture)]
