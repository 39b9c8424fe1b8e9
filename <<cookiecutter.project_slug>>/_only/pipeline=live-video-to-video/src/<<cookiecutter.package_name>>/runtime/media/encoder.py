"""Encodes what comes from the model, and puts it together with the audio."""

from fractions import Fraction

import structlog
from av import FFmpegError, VideoFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from ..errors import JobError
from ..worker.scheduler import Frame, Look
from .codec import VideoEncoder, create_encoder
from .muxer import SEGMENT_SECONDS, Emit, Muxer
from .parts import Layout, MediaPacket

# A step back in time that is larger is a new timeline, a smaller one a frame out of order.
REORDER_SECONDS = 1
USUAL_RATE = Fraction(30)

log = structlog.get_logger()


class Encoder:
    """Pictures and packets in, segments out; used by one thread."""

    def __init__(self, video_encoder: VideoEncoder, emit: Emit) -> None:
        self._video_encoder = video_encoder
        self._emit = emit
        self._reformatter = VideoReformatter()
        self._layout: Layout | None = None
        self._muxer: Muxer | None = None
        self._encoder: VideoCodecContext | None = None
        self._size: tuple[int, int] | None = None
        self._last: Fraction | None = None
        self._keyframe: Fraction | None = None

    def begin(self, layout: Layout) -> None:
        """The next parts belong to this layout; its container is closed when they end."""
        self._end_timeline()
        self._leave_layout()
        self._layout = layout
        self._begin_timeline(layout)

    def encode(self, frame: Frame, picture: VideoFrame | None) -> bool:
        """`picture` is what the model made of the frame; None: it is encoded as it came.

        Returns False when it is dropped, because its time is not after the last one's.
        """
        prepared = self._prepare(frame, picture)
        assert prepared.time_base
        assert prepared.pts is not None
        now = prepared.pts * prepared.time_base
        if self._last is not None and now <= self._last:
            if self._last - now < REORDER_SECONDS:
                return False
            assert self._layout
            self._end_timeline()
            self._begin_timeline(self._layout)
        self._last = now
        encoder = self._encoder_for(prepared, frame.look)
        if self._keyframe is None or now - self._keyframe >= SEGMENT_SECONDS:
            prepared.pict_type = PictureType.I
            self._keyframe = now
        assert self._muxer
        for packet in encoder.encode(prepared):
            self._muxer.video(packet)
        return True

    def audio(self, packet: MediaPacket) -> None:
        """Raises JobError when it can't be sent."""
        assert self._muxer
        try:
            self._muxer.audio(packet)
        except FFmpegError as error:
            log.info("audio dropped", reason=str(error))
            raise JobError("bad_request", "audio whose time went back was dropped") from None

    def finish(self) -> None:
        """Emit all that was put in."""
        try:
            self._end_timeline()
        finally:
            self._leave_layout()

    def _begin_timeline(self, layout: Layout) -> None:
        """A timeline is in segments of its own."""
        self._muxer = Muxer(layout.video, layout.audio, self._emit)
        self._last = self._keyframe = None

    def _end_timeline(self) -> None:
        if self._muxer:
            self._flush()
            self._muxer.close()
            self._muxer = None

    def _leave_layout(self) -> None:
        """Close the input's container, to free its codecs, their threads and their pictures."""
        if self._layout:
            self._layout.container.close()
            self._layout = None

    def _flush(self) -> None:
        if self._encoder and self._muxer:
            for packet in self._encoder.encode(None):
                self._muxer.video(packet)
        self._encoder = None

    def _prepare(self, frame: Frame, picture: VideoFrame | None) -> VideoFrame:
        """As yuv420p, whose sides are even, with the time and the colors of the frame.

        A frame that is encoded as it came is made as large as what the model made last, because a
        change of size disturbs players.
        """
        source = frame.picture
        if picture is None:
            picture = source
        else:
            self._size = picture.width, picture.height
        width, height = self._size or (picture.width, picture.height)
        picture.colorspace = source.colorspace
        prepared = self._reformatter.reformat(
            picture, width=width & ~1, height=height & ~1, format="yuv420p", threads=1
        )
        prepared.pts = source.pts
        prepared.time_base = source.time_base
        prepared.pict_type = PictureType.NONE
        return prepared

    def _encoder_for(self, picture: VideoFrame, look: Look) -> VideoCodecContext:
        """The one in use, or a new one when the size has changed."""
        encoder = self._encoder
        if encoder and (encoder.width, encoder.height) == (picture.width, picture.height):
            return encoder
        self._flush()
        self._keyframe = None
        assert picture.time_base
        encoder = create_encoder(
            self._video_encoder,
            picture.width,
            picture.height,
            picture.time_base,
            look.rate or USUAL_RATE,
        )
        encoder.sample_aspect_ratio = look.sample_aspect_ratio
        encoder.colorspace = look.colorspace
        encoder.color_primaries = look.color_primaries
        encoder.color_trc = look.color_trc
        # Open it here, because libav crashes if an encoder that could not be opened is used again.
        encoder.open()
        self._encoder = encoder
        return encoder
