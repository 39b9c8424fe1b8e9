"""The way of one session's media: source, decoder, model, encoder, sink."""

import asyncio
from typing import Any, Protocol

from av import AudioStream, VideoFrame, VideoStream
from av.container import InputContainer

from ..encoders import EncoderName
from ..engine.dispatcher import Dispatcher
from ..engine.exchange import Reply, Task
from ..engine.schedule import DropReason, Frame
from ..errors import JobError
from ..ops.metrics import Metrics
from ..settings import Settings
from ..stats import Stats
from .decoder import Decoder
from .encoder import Encoder
from .muxer import MediaPacket
from .sink import ByteSink
from .source import ByteSource


class Listener(Protocol):
    """Told on the event loop."""

    def failed(self, error: JobError) -> None: ...

    def changed(self, error: JobError) -> None: ...

    def said(self, reply: Reply) -> None: ...

    def accepted(self, task: Task) -> None: ...

    def refused(self, task: Task, error: JobError) -> None: ...

    def lost(self, loss: JobError) -> None: ...


class Pipeline:
    """What goes into `source` comes out of `sink`; both have their ends on the event loop.

    All other methods are called by the threads of the decoder, the lanes and the encoder.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        dispatcher: Dispatcher,
        encoder: EncoderName,
        stats: Stats,
        listener: Listener,
    ) -> None:
        self.source = ByteSource()
        self.sink = ByteSink()
        self._pass = settings.unprocessed_frames == "pass"
        self._stats = stats
        self._metrics = metrics
        self._schedule = dispatcher.schedule
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self._decoder = Decoder(
            self.source,
            self,
            max_latency_seconds=settings.max_latency_seconds,
            max_picture_bytes=settings.max_body_bytes,
        )
        self._encoder = Encoder(encoder, self.sink.put, self)
        self._size: tuple[int, int] | None = None

    def start(self, session_id: str, params: str) -> None:
        self._feed = self._schedule.join(session_id, self, params)
        self._decoder.start()
        self._encoder.start()

    def update(self, params: str) -> None:
        """Have the model take new parameters; the listener is told what it says."""
        self._schedule.update(self._feed, params)

    def cut(self) -> None:
        """Give up what is on its way."""
        self.source.cut()
        self._schedule.cut(self._feed)
        self.sink.cut()

    async def join(self) -> None:
        """Wait for the end of the threads, which comes after that of the source."""
        await self._finished.wait()

    # From the decoder

    def layout(
        self, container: InputContainer, video: VideoStream | None, audio: AudioStream | None
    ) -> None:
        self._encoder.layout(container, video, audio)

    def picture(self, frame: Frame) -> None:
        self._stats.came()
        self._metrics.frames_in.inc()
        self._schedule.put(self._feed, frame)

    def audio(self, packet: MediaPacket) -> None:
        self._encoder.audio(packet)

    def changed(self, error: JobError) -> None:
        self._metrics.errors.labels(type=error.type).inc()
        self._tell(self._listener.changed, error)

    def ended(self) -> None:
        self._schedule.drain(self._feed)
        self._encoder.finish()

    # From the model

    def processed(self, frame: Frame, picture: VideoFrame | None) -> bool:
        if picture is None:
            self.dropped("model")
            return False
        self._size = (picture.width, picture.height)
        self._encoder.picture(picture, frame, self._size)
        return True

    def unprocessed(self, frame: Frame, reason: DropReason) -> bool:
        """As large as what the model made last: a change of size disturbs players."""
        if not self._pass:
            self.dropped(reason)
            return False
        self._stats.passed()
        self._metrics.frames_unprocessed.inc()
        self._encoder.picture(frame.picture, frame, self._size)
        return True

    def said(self, reply: Reply) -> None:
        self._tell(self._listener.said, reply)

    def accepted(self, task: Task) -> None:
        self._tell(self._listener.accepted, task)

    def refused(self, task: Task, error: JobError) -> None:
        self._tell(self._listener.refused, task, error)

    def lost(self, loss: JobError) -> None:
        self._tell(self._listener.lost, loss)

    # From the encoder

    def encoded(self, milliseconds: float) -> None:
        self._stats.went(milliseconds)
        self._metrics.frames_out.inc()
        self._metrics.frame_latency.observe(milliseconds)

    def left(self) -> None:
        self._schedule.encoded(self._feed)

    def finished(self) -> None:
        self._schedule.leave(self._feed)
        self.sink.end()
        self._loop.call_soon_threadsafe(self._finished.set)

    # From any of them

    def dropped(self, reason: DropReason) -> None:
        self._stats.dropped(reason)
        self._metrics.frames_dropped.labels(reason=reason).inc()

    def failed(self, error: JobError) -> None:
        self._metrics.errors.labels(type=error.type).inc()
        self._tell(self._listener.failed, error)

    def _tell(self, hear: Any, *what: object) -> None:
        self._loop.call_soon_threadsafe(hear, *what)
