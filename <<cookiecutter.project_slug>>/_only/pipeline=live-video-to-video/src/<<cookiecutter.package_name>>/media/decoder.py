"""Takes the input apart on a thread: pictures for the model, audio packets as they are."""

import threading
import time
from typing import Protocol

import structlog
from av import AudioStream, FFmpegError, VideoFrame, VideoStream
from av import open as open_container
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from ..engine.schedule import DropReason, Frame
from ..errors import JobError
from .muxer import MediaPacket
from .source import ByteSource, PacketReader

# Streams are known after a few packets. One that the input announces and does not send must not
# hold up the others for long, and nobody needs the frame rate.
OPTIONS = {"probesize": "262144", "analyzeduration": "1000000", "fpsprobesize": "0"}
CHANGED = "the input's streams have changed, which is not supported: start a new session"

log = structlog.get_logger()


class Output(Protocol):
    """Where the parts go, called by the decoder's thread; `picture` may wait."""

    def layout(
        self, container: InputContainer, video: VideoStream | None, audio: AudioStream | None
    ) -> None:
        """What follows is of these streams; whoever is told closes the container after them."""

    def picture(self, frame: Frame) -> None: ...

    def audio(self, packet: MediaPacket) -> None: ...

    def dropped(self, reason: DropReason) -> None: ...

    def failed(self, error: JobError) -> None: ...

    def changed(self, error: JobError) -> None:
        """Nothing that follows is read."""

    def ended(self) -> None: ...


class Decoder(threading.Thread):
    """Reads MPEG-TS until the source ends; what can't be read is told and skipped."""

    def __init__(self, source: ByteSource, output: Output, max_latency_seconds: float) -> None:
        super().__init__(name="decoder", daemon=True)
        self._source = source
        self._reader = PacketReader(source, self._skipped)
        self._output = output
        self._max_latency = max_latency_seconds
        self._reformatter = VideoReformatter()
        self._anchor = float("inf")

    def run(self) -> None:
        try:
            while not self._source.exhausted and not self._reader.changed:
                self._read()
            if self._reader.changed:
                self._output.changed(JobError("bad_request", CHANGED, field="subscribe_url"))
        except Exception:
            log.exception("decoder failed")
            self._output.failed(JobError("internal", "the container failed on this input"))
        finally:
            self._output.ended()

    def _read(self) -> None:
        self._reader.restart()
        try:
            self._demux(open_container(self._reader, "r", format="mpegts", options=OPTIONS))
        except (FFmpegError, EOFError) as error:
            if not self._source.exhausted and not self._reader.changed:
                log.info("input unreadable", reason=str(error))
                self._output.failed(JobError("bad_request", "the input is no readable MPEG-TS"))

    def _skipped(self) -> None:
        self._output.failed(JobError("bad_request", "a part of the input is no MPEG-TS: skipped"))

    def _demux(self, container: InputContainer) -> None:
        streams = container.streams
        video = streams.video[0] if streams.video else None
        audio = next((stream for stream in streams.audio if stream.sample_rate), None)
        if video is None and audio is None:
            container.close()
            raise EOFError("neither video nor audio")
        if video is not None and video.codec_context is None:
            words = "the video's codec can't be decoded: send H.264"
            self._output.failed(JobError("bad_request", words, field="subscribe_url"))
            video = None
        self._anchor = float("inf")
        self._output.layout(container, video, audio)
        for packet in container.demux([s for s in (video, audio) if s is not None]):
            if packet.stream is audio:
                # Sound goes on as it came; a change that damage has hidden must not have pictures
                # go the same way.
                if audio.type != "audio":
                    self._reader.changed = True
                    return
                if packet.dts is not None:
                    self._output.audio(packet)
            else:
                self._decode(packet)

    def _decode(self, packet: MediaPacket) -> None:
        arrived = self._source.arrived
        try:
            frames = packet.decode()
        except FFmpegError as error:
            log.info("packet undecodable", reason=str(error))
            self._output.failed(JobError("bad_request", "a part of the video can't be decoded"))
            return
        for frame in frames:
            if isinstance(frame, VideoFrame):
                self._put(frame, arrived)

    def _put(self, frame: VideoFrame, arrived: float) -> None:
        if frame.pts is None or frame.time is None:
            self._output.dropped("timestamp")
            return
        if frame.is_corrupt:
            self._output.failed(JobError("bad_request", "a part of the video is damaged"))
        picture = self._reformatter.reformat(frame, format="rgb24", threads=1)
        # Frames that come faster than they are to be shown are early, not late.
        self._anchor = min(self._anchor, time.monotonic() - frame.time)
        due = max(arrived, self._anchor + frame.time) + self._max_latency
        self._output.picture(Frame(picture, arrived, due))
