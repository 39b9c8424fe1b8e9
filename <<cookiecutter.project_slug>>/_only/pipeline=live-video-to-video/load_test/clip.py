"""The clip that sessions send in a loop, with a counter of its session in each picture."""

import io
import itertools
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
from av import FFmpegError, VideoFrame
from av.video.frame import PictureType

from .counter import MOST, Counter, draw

LOOP_SECONDS = 10  # of the clip, at most
ENCODERS = 8  # at once: the clip is decoded once for 8 sessions
CLOCK = 90_000
ENCODER = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1"}
# As a camera sends: every picture at once; tables before keyframes, because segments begin there.
MUXER = {"flush_packets": "1", "mpegts_copyts": "1", "pat_period": "86400", "sdt_period": "86400"}


@cache
def load_clip(path: Path) -> "Clip":
    """The clip, decoded and encoded once for all traffic. Raises OSError."""
    return Clip(path)


class Clip:
    """`rate` pictures a second, `length` in all, of one size; then it starts again.

    `first` is the number of the first session: random, so that two load tests rarely share one.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError with a message that says what is wrong with the file."""
        self.first = random.randrange(MOST // 2)
        self._path = path
        self._loops: dict[int, list[Any]] = {}
        with self._open() as reader:
            video = reader.streams.video[0]
            self.rate = Fraction(video.average_rate or 25).limit_denominator(1001)
            self._width, self._height = video.width & ~1, video.height & ~1
        self.length = sum(1 for _ in self._frames())
        if not self.length:
            raise OSError(f"{path}: no picture can be decoded")

    def __str__(self) -> str:
        size, seconds = f"{self._width}x{self._height}", float(self.length / self.rate)
        return f"{self._path}: {size} at {float(self.rate):g} frames a second, {seconds:.1f} s"

    def prepare(self, sessions: Sequence[int]) -> None:
        """Encode the loop of each of these sessions, unless that is done already."""
        missing = sorted(set(sessions) - set(self._loops))
        for first in range(0, len(missing), ENCODERS):
            encoders = {session: self._encoder() for session in missing[first : first + ENCODERS]}
            self._loops |= {session: [] for session in encoders}
            for number, frame in enumerate(self._frames()):
                for session, encoder in encoders.items():
                    picture = draw(frame, Counter(session, number))
                    picture.pts, picture.pict_type = number, PictureType.NONE
                    self._loops[session] += encoder.encode(picture)
            for session, encoder in encoders.items():
                self._loops[session] += encoder.encode(None)

    def stream(self, session: int) -> Iterator[tuple[int, bool, bytes]]:
        """MPEG-TS without end: the number of each picture, whether a segment begins, the bytes."""
        sink, base = io.BytesIO(), Fraction(1, CLOCK)
        with av.open(sink, "w", format="mpegts", options=MUXER) as muxer:
            stream = muxer.add_mux_stream("h264", width=1, height=1, time_base=base)
            for number, encoded in enumerate(itertools.cycle(self._loops[session])):
                packet: Any = av.Packet(bytes(encoded))
                packet.pts = packet.dts = round(number * CLOCK / self.rate)
                packet.time_base, packet.stream = base, stream
                packet.is_keyframe = encoded.is_keyframe
                muxer.mux(packet)
                yield number, encoded.is_keyframe, sink.getvalue()
                sink.seek(0)
                sink.truncate()

    def number(self, time_stamp: int) -> int:
        """Of the picture with this time stamp, in 1/90000 s."""
        return round(time_stamp * self.rate / CLOCK)

    def _open(self) -> Any:
        try:
            reader = av.open(str(self._path))
        except (OSError, FFmpegError) as error:
            raise OSError(f"{self._path}: {error.strerror or error}") from None
        if not reader.streams.video:
            raise OSError(f"{self._path}: no video")
        return reader

    def _frames(self) -> Iterator[VideoFrame]:
        with self._open() as reader:
            most = int(LOOP_SECONDS * self.rate)
            for frame in itertools.islice(reader.decode(video=0), most):
                yield frame.reformat(self._width, self._height, "yuv420p")

    def _encoder(self) -> Any:
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = self._width, self._height, "yuv420p"
        encoder.time_base, encoder.framerate = 1 / self.rate, self.rate
        encoder.gop_size = max(1, round(self.rate))
        encoder.options = ENCODER
        return encoder
