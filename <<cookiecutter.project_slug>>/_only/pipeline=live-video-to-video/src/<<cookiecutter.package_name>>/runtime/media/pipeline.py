"""The way of one session's media: source, decoder, model, encoder, sink."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from av import Packet, VideoFrame

from ..errors import JobError
from ..metrics import FrameMetrics, Metrics
from ..settings import ContainerSettings, Settings
from ..worker.frame_dispatcher import FrameDispatcher
from ..worker.frame_settings import FrameSettings
from ..worker.notices import Fault, InputChanged, Notice
from ..worker.scheduler import Frame, Outlet
from .codec import VideoEncoder
from .decoder import Decoder
from .encoder import Encoder
from .metrics import LossMetrics
from .parts import Dropped, Layout, MediaPacket
from .sink import ByteSink
from .source import ByteSource
from .stats import FrameStats

MAX_AUDIO_PACKETS = 1024

log = structlog.get_logger()


class MediaContext(NamedTuple):
    """What all sessions' pipelines share."""

    settings: Settings
    metrics: Metrics
    frames: FrameMetrics
    losses: LossMetrics
    dispatcher: FrameDispatcher
    encoder: VideoEncoder


class PictureToEncode(NamedTuple):
    """A frame and what the model made of it; None: the frame is encoded as it came."""

    frame: Frame
    picture: VideoFrame | None


class Pipeline:
    """What goes into `source` comes out of `sink`; both have their ends on the event loop.

    The decoder has a thread, and the encoder has one. Between them, frames wait for the model in
    the scheduler, and all that is to be encoded in a queue.
    """

    def __init__(self, context: MediaContext, on_notice: Callable[[Notice], None]) -> None:
        self.source = ByteSource()
        self.sink = ByteSink()
        self.stats = FrameStats(context.frames, context.losses)
        self._metrics = context.metrics
        self._scheduler = context.dispatcher.scheduler
        self._on_notice = on_notice
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self._queue: queue.SimpleQueue[Layout | PictureToEncode | MediaPacket | None] = (
            queue.SimpleQueue()
        )
        self._audio_packets = 0
        self._decoder = Decoder(
            self.source,
            self._fail,
            max_latency_seconds=context.settings[FrameSettings].max_latency_seconds,
            max_picture_bytes=context.settings[ContainerSettings].max_body_bytes,
        )
        self._encoder = Encoder(context.encoder, self.sink.put)

    def start(self, session_id: str, params: str) -> None:
        outlet = Outlet(self._enqueue_picture, self.stats.count_dropped, self._notify)
        self._feed = self._scheduler.join(session_id, params, outlet)
        threading.Thread(target=self._decode, name="decoder", daemon=True).start()
        threading.Thread(target=self._encode, name="encoder", daemon=True).start()

    def send_params(self, params: str) -> None:
        """Have the model take new parameters; a notice says whether it does."""
        self._scheduler.enqueue_params(self._feed, params)

    def cut(self) -> None:
        """Give up what is on its way."""
        self.source.cut()
        self._scheduler.cut(self._feed)
        self.sink.cut()

    async def join(self) -> None:
        """Wait for the end of the threads, which comes after that of the source."""
        await self._finished.wait()

    def _decode(self) -> None:
        """The decoder's thread, until the source ends and the model has served all frames."""
        try:
            for part in self._decoder.parts():
                match part:
                    case Frame():
                        self.stats.count_in()
                        self._scheduler.put(self._feed, part)
                    case Packet():
                        self._enqueue_audio(part)
                    case Layout():
                        self._queue.put(part)
                    case Dropped():
                        self.stats.count_dropped(part.reason)
                    case InputChanged():
                        self._metrics.count_error(part.error.type)
                        self._notify(part)
        except Exception:
            log.exception("decoder failed")
            self._fail(JobError("internal", "the container failed on this input"))
        finally:
            self._scheduler.drain(self._feed)
            self._queue.put(None)

    def _enqueue_audio(self, packet: MediaPacket) -> None:
        if self._audio_packets < MAX_AUDIO_PACKETS:
            self._audio_packets += 1
            self._queue.put(packet)
        else:
            self._fail(JobError("internal", "audio was dropped: the encoder is behind"))

    def _enqueue_picture(self, frame: Frame, picture: VideoFrame | None) -> None:
        """The scheduler bounds how many wait."""
        if picture is None:
            self.stats.count_unprocessed()
        self._queue.put(PictureToEncode(frame, picture))

    def _encode(self) -> None:
        """The encoder's thread, until all that was put in has been emitted."""
        while (item := self._queue.get()) is not None:
            with self._failures_reported():
                match item:
                    case Layout():
                        self._encoder.begin(item)
                    case PictureToEncode():
                        self._encode_picture(item)
                    case Packet():
                        self._audio_packets -= 1
                        self._encoder.audio(item)
            if isinstance(item, PictureToEncode):
                self._scheduler.encoded(self._feed)
        with self._failures_reported():
            self._encoder.finish()
        self._scheduler.leave(self._feed)
        self.sink.end()
        self._loop.call_soon_threadsafe(self._finished.set)

    def _encode_picture(self, item: PictureToEncode) -> None:
        if self._encoder.encode(item.frame, item.picture):
            self.stats.count_out(1000 * (time.monotonic() - item.frame.arrived))
        else:
            self.stats.count_dropped("timestamp")

    @contextmanager
    def _failures_reported(self) -> Iterator[None]:
        try:
            yield
        except JobError as error:
            self._fail(error)
        except Exception:
            log.exception("encoder failed")
            self._fail(JobError("internal", "the container failed on this output"))

    def _fail(self, error: JobError) -> None:
        self._metrics.count_error(error.type)
        self._notify(Fault(error))

    def _notify(self, notice: Notice) -> None:
        """Called by any thread."""
        self._loop.call_soon_threadsafe(self._on_notice, notice)
