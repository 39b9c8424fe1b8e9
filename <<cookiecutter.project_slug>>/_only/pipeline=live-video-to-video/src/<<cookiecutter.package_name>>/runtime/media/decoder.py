"""Takes the input apart: pictures for the model, audio packets as they are."""

import time
from collections.abc import Callable, Generator, Iterator

import structlog
from av import CodecContext, FFmpegError, VideoFrame, VideoStream
from av import open as open_container
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from ..errors import JobError
from ..worker.notices import InputChanged
from ..worker.scheduler import Frame, Look
from .parts import Dropped, Layout, MediaPacket, Part
from .source import ByteSource, PacketReader

# Streams are known after a few packets. A stream that the input declares but does not send must
# not delay the others for long, and nobody needs the frame rate. Probing decodes no video, because
# the headers say enough and pictures may be of any size.
OPTIONS = {
    "probesize": "262144",
    "analyzeduration": "1000000",
    "fpsprobesize": "0",
    "codec_whitelist": "aac,aac_latm,ac3,eac3,dca,mp1float,mp2float,mp3float,opus,pcm_bluray,"
    "s302m,truehd",
}
# libav pads rows by up to 63 pixels before it compares with its limit; few codecs have more rows.
PADDING_PIXELS = 63 * 16_384
CHANGED = "the input's streams have changed, which is not supported: start a new session"

log = structlog.get_logger()


class Decoder:
    """Reads MPEG-TS until the source ends; what can't be read is reported to `fail` and skipped."""

    def __init__(
        self,
        source: ByteSource,
        fail: Callable[[JobError], None],
        *,
        max_latency_seconds: float,
        max_picture_bytes: int,
    ) -> None:
        self._source = source
        self._fail = fail
        self._reader = PacketReader(source, self._skipped)
        self._max_latency = max_latency_seconds
        self._max_bytes = max_picture_bytes
        self._max_pixels = max_picture_bytes // 3 + PADDING_PIXELS
        self._reformatter = VideoReformatter()
        self._anchor = float("inf")

    def parts(self) -> Iterator[Part]:
        """Blocks while the source is empty. Whoever receives a Layout closes its container
        after the last part that belongs to it.
        """
        while not self._source.exhausted and not self._reader.changed:
            yield from self._read()
        if self._reader.changed:
            yield InputChanged(JobError("bad_request", CHANGED, field="subscribe_url"))

    def _read(self) -> Iterator[Part]:
        self._reader.restart()
        try:
            container = open_container(self._reader, "r", format="mpegts", options=OPTIONS)
            yield from self._demux(container)
        except (FFmpegError, EOFError) as error:
            if not self._source.exhausted and not self._reader.changed:
                log.info("input unreadable", reason=str(error))
                self._fail(JobError("bad_request", "the input is no readable MPEG-TS"))

    def _skipped(self) -> None:
        self._fail(JobError("bad_request", "a part of the input is no MPEG-TS: skipped"))

    def _demux(self, container: InputContainer) -> Iterator[Part]:
        streams = container.streams
        video = streams.video[0] if streams.video else None
        audio = next((stream for stream in streams.audio if stream.sample_rate), None)
        if video is None and audio is None:
            container.close()
            raise EOFError("neither video nor audio")
        if video is not None and video.codec_context is None:
            words = "the video's codec can't be decoded: send H.264"
            self._fail(JobError("bad_request", words, field="subscribe_url"))
            video = None
        self._anchor = float("inf")
        decoder: VideoCodecContext | None = None
        yield Layout(container, video, audio)
        for packet in container.demux([s for s in (video, audio) if s is not None]):
            if packet.stream is audio:
                # Audio is passed through. If damaged tables have hidden a change of the streams,
                # this stream may be video now, which must not be passed through.
                if audio.type != "audio":
                    self._reader.changed = True
                    return
                if packet.dts is not None:
                    yield packet
            elif video is not None:
                decoder = decoder or self._create_decoder(video)
                if not (yield from self._decode(packet, decoder)):
                    decoder = None

    def _create_decoder(self, video: VideoStream) -> VideoCodecContext:
        """A decoder with a limit on size, which holds for pictures later in the stream as well."""
        decoder = CodecContext.create(video.codec, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.options = {"max_pixels": str(self._max_pixels)}
        return decoder

    def _decode(
        self, packet: MediaPacket, codec: VideoCodecContext
    ) -> Generator[Frame | Dropped, None, bool]:
        """Returns False when the decoder has to be given up."""
        arrived = self._source.arrived
        try:
            frames = codec.decode(packet)
        except FFmpegError as error:
            log.info("packet undecodable", reason=str(error))
            if self._fits(codec.width, codec.height):
                self._fail(JobError("bad_request", "a part of the video can't be decoded"))
            # libav crashes if a decoder that could not be opened is used again.
            return codec.is_open
        if codec.coded_width * codec.coded_height > self._max_pixels:
            # The picture is cropped, and libav applies its limit only to what is left.
            self._fits(codec.coded_width, codec.coded_height)
            return False
        for frame in frames:
            yield from self._convert(frame, arrived, codec)
        return True

    def _fits(self, width: int, height: int) -> bool:
        """Whether a picture is within the limit; one that is not is reported."""
        size = 3 * width * height
        if size > self._max_bytes:
            words = f"a picture of {width}x{height} is larger than BYOC_MAX_BODY_BYTES"
            words = f"{words}: {size} bytes do not fit into {self._max_bytes}"
            self._fail(JobError("bad_request", words))
        return size <= self._max_bytes

    def _convert(
        self, frame: VideoFrame, arrived: float, codec: VideoCodecContext
    ) -> Iterator[Frame | Dropped]:
        if frame.pts is None or frame.time is None:
            yield Dropped("timestamp")
            return
        if frame.is_corrupt:
            self._fail(JobError("bad_request", "a part of the video is damaged"))
        if not self._fits(frame.width, frame.height):
            return
        picture = self._reformatter.reformat(frame, format="rgb24", threads=1)
        # Frames that come faster than they are to be shown are early, not late.
        self._anchor = min(self._anchor, time.monotonic() - frame.time)
        due = max(arrived, self._anchor + frame.time) + self._max_latency
        look = Look(
            codec.framerate,
            codec.sample_aspect_ratio,
            codec.colorspace,
            codec.color_primaries,
            codec.color_trc,
        )
        yield Frame(picture, look, arrived, due)
