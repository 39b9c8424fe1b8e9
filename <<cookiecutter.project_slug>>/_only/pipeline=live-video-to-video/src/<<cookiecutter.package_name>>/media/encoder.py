"""Encodes what comes from the model, on a thread, and puts it together with the audio."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import NamedTuple, Protocol

import structlog
from av import AudioStream, FFmpegError, Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from ..encoders import EncoderName
from ..engine.schedule import DropReason, Frame, Look
from ..errors import JobError
from .codec import create_encoder
from .muxer import SEGMENT_SECONDS, Emit, MediaPacket, Muxer

MAX_AUDIO_PACKETS = 1024
# A step back in time that is larger is a new timeline, a smaller one a frame out of order.
REORDER_SECONDS = 1
USUAL_RATE = Fraction(30)

log = structlog.get_logger()


class Layout(NamedTuple):
    """What follows is of these streams, which need their container to be open."""

    container: InputContainer
    video: VideoStream | None
    audio: AudioStream | None


class Encoded(NamedTuple):
    """An rgb24 picture and the frame it was made from, which gives its time and its colors.

    It is scaled to `size`, width and height in pixels, unless that is None.
    """

    picture: VideoFrame
    source: Frame
    size: tuple[int, int] | None


class Monitor(Protocol):
    """Told by the encoder's thread, which may not be held up."""

    def encoded(self, milliseconds: float) -> None: ...

    def left(self) -> None:
        """A picture has left the queue, encoded or not."""

    def dropped(self, reason: DropReason) -> None: ...

    def failed(self, error: JobError) -> None: ...

    def finished(self) -> None:
        """All that was put in has been emitted."""


class Encoder(threading.Thread):
    """Pictures and packets in, segments out; ends after `finish`, with all that was put in."""

    def __init__(self, name: EncoderName, emit: Emit, monitor: Monitor) -> None:
        super().__init__(name="encoder", daemon=True)
        self._encoder_name: EncoderName = name
        self._emit = emit
        self._monitor = monitor
        self._queue: queue.SimpleQueue[Layout | Encoded | MediaPacket | None] = queue.SimpleQueue()
        self._audio_packets = 0
        self._reformatter = VideoReformatter()
        self._layout: Layout | None = None
        self._muxer: Muxer | None = None
        self._encoder: VideoCodecContext | None = None
        self._last: Fraction | None = None
        self._keyframe: Fraction | None = None

    def layout(
        self, container: InputContainer, video: VideoStream | None, audio: AudioStream | None
    ) -> None:
        """The container is closed when it is not needed any more."""
        self._queue.put(Layout(container, video, audio))

    def picture(self, picture: VideoFrame, source: Frame, size: tuple[int, int] | None) -> None:
        """The number of those that wait is bounded by the schedule."""
        self._queue.put(Encoded(picture, source, size))

    def audio(self, packet: MediaPacket) -> None:
        if self._audio_packets < MAX_AUDIO_PACKETS:
            self._audio_packets += 1
            self._queue.put(packet)
        else:
            self._monitor.failed(JobError("internal", "audio was dropped: the encoder is behind"))

    def finish(self) -> None:
        self._queue.put(None)

    def run(self) -> None:
        while (item := self._queue.get()) is not None:
            with self._failures_told():
                match item:
                    case Layout():
                        self._restart(item)
                    case Encoded():
                        self._encode(item)
                    case Packet():
                        self._audio_packets -= 1
                        self._mux_audio(item)
            if isinstance(item, Encoded):
                self._monitor.left()
        with self._failures_told():
            self._close()
        self._leave_layout()
        self._monitor.finished()

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            log.exception("encoder failed")
            self._monitor.failed(JobError("internal", "the container failed on this output"))

    def _restart(self, layout: Layout) -> None:
        """A timeline of its own, in a segment of its own."""
        self._close()
        if layout is not self._layout:
            self._leave_layout()
            self._layout = layout
        self._muxer = Muxer(layout.video, layout.audio, self._emit)
        self._last = self._keyframe = None

    def _leave_layout(self) -> None:
        """The input's codecs, their threads and pictures go with the last one that holds them."""
        if self._layout:
            self._layout.container.close()
            self._layout = None

    def _close(self) -> None:
        if self._muxer:
            self._flush()
            self._muxer.close()
            self._muxer = None

    def _flush(self) -> None:
        if self._encoder and self._muxer:
            for packet in self._encoder.encode(None):
                self._muxer.video(packet)
        self._encoder = None

    def _mux_audio(self, packet: MediaPacket) -> None:
        assert self._muxer
        try:
            self._muxer.audio(packet)
        except FFmpegError as error:
            log.info("audio dropped", reason=str(error))
            self._monitor.failed(JobError("bad_request", "audio whose time went back was dropped"))

    def _encode(self, item: Encoded) -> None:
        picture = self._prepare(item)
        assert picture.time_base
        assert picture.pts is not None
        now = picture.pts * picture.time_base
        if self._last is not None and now <= self._last:
            if self._last - now < REORDER_SECONDS:
                self._monitor.dropped("timestamp")
                return
            assert self._layout
            self._restart(self._layout)
        self._last = now
        encoder = self._encoder_for(picture, item.source.look)
        if self._keyframe is None or now - self._keyframe >= SEGMENT_SECONDS:
            picture.pict_type = PictureType.I
            self._keyframe = now
        assert self._muxer
        for packet in encoder.encode(picture):
            self._muxer.video(packet)
        self._monitor.encoded(1000 * (time.monotonic() - item.source.arrived))

    def _prepare(self, item: Encoded) -> VideoFrame:
        """As yuv420p, whose sides are even, with the time and the colors of the source."""
        source = item.source.picture
        width, height = item.size or (item.picture.width, item.picture.height)
        item.picture.colorspace = source.colorspace
        picture = self._reformatter.reformat(
            item.picture,
            width=width & ~1,
            height=height & ~1,
            format="yuv420p",
            threads=1,
        )
        picture.pts = source.pts
        picture.time_base = source.time_base
        picture.pict_type = PictureType.NONE
        return picture

    def _encoder_for(self, picture: VideoFrame, look: Look) -> VideoCodecContext:
        """The one in use, or a new one when the size has changed."""
        encoder = self._encoder
        if encoder and (encoder.width, encoder.height) == (picture.width, picture.height):
            return encoder
        self._flush()
        self._keyframe = None
        assert picture.time_base
        encoder = create_encoder(
            self._encoder_name,
            picture.width,
            picture.height,
            picture.time_base,
            look.rate or USUAL_RATE,
        )
        encoder.sample_aspect_ratio = look.sample_aspect_ratio
        encoder.colorspace = look.colorspace
        encoder.color_primaries = look.color_primaries
        encoder.color_trc = look.color_trc
        # libav crashes when one that could not be opened is used once more.
        encoder.open()
        self._encoder = encoder
        return encoder
