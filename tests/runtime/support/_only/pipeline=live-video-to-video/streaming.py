"""The other end of a stream: makes clips, publishes and subscribes, as orchestrators ask."""

import io
import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from typing import Any, Self

import av
import httpx
from av.container import InputContainer, OutputContainer
from av.video.frame import PictureType

from emulator.container import DEADLINE_SECONDS, Container, eventually
from emulator.trickle import ALL_SEGMENTS, Channel, TrickleServer
from harness import DATA

BUNNY = DATA / "bigbuckbunny.mp4"
BUNNY_FRAMES = 132
MIME_TYPES = {
    "subscribe_url": "video/mp2t",
    "publish_url": "video/mp2t",
    "control_url": "application/json",
    "events_url": "application/json",
    "data_url": "application/jsonl",
}

type Clip = list[list[tuple[float, bytes]]]
"""MPEG-TS in segments that start with a keyframe; each chunk with its time in seconds."""


class Recorder:
    """A file for libav that remembers what was written since it was last asked."""

    def __init__(self) -> None:
        self._data = b""

    def write(self, data: bytes) -> int:
        self._data += bytes(data)
        return len(data)

    def take(self) -> bytes:
        data, self._data = self._data, b""
        return data


@cache
def pictures(width: int, height: int) -> list[av.VideoFrame]:
    """The clip's frames, yuv420p."""
    with av.open(str(BUNNY)) as source:
        return [frame.reformat(width, height, "yuv420p") for frame in source.decode(video=0)]


@cache
def bunny(
    *,
    size: tuple[int, int] = (640, 360),
    rate: int = 25,
    frames: int = BUNNY_FRAMES,
    first: int = 0,
    video: bool = True,
    audio: bool = True,
    codec: str = "libx264",
    sample_aspect_ratio: Fraction = Fraction(1),
    colorspace: int = 2,
    color_range: int = 0,
    b_frames: int = 0,
) -> Clip:
    """The clip as a live source sends it: a keyframe every second.

    Frame n, counted from `first`, is shown at n / rate seconds, and so is the audio of that time.
    """
    clip: Clip = []
    recorder = Recorder()
    start, end = Fraction(first, rate), Fraction(first + frames, rate)
    parts: list[tuple[Fraction, Any]] = []
    with (
        av.open(str(BUNNY)) as source,
        av.open(
            recorder, "w", format="mpegts", options={"flush_packets": "1", "mpegts_copyts": "1"}
        ) as output,
    ):
        assert isinstance(source, InputContainer)
        assert isinstance(output, OutputContainer)
        if video:
            encoder: Any = output.add_stream(codec, rate=rate)
            encoder.width, encoder.height = size
            encoder.pix_fmt = "yuv420p"
            encoder.sample_aspect_ratio = sample_aspect_ratio
            encoder.gop_size = rate
            encoder.colorspace = colorspace
            encoder.color_range = color_range
            encoder.max_b_frames = b_frames
            if codec == "libx264":
                encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
            shown = itertools.islice(itertools.cycle(pictures(*size)), frames)
            parts += [(start + Fraction(n, rate), picture) for n, picture in enumerate(shown)]
        if audio:
            sound = output.add_stream_from_template(source.streams.audio[0])
            parts += [
                (packet.pts * packet.time_base + start, packet)
                for packet in source.demux(audio=0)
                if packet.pts is not None
            ]
        parts = [(moment, part) for moment, part in parts if moment < end]
        for moment, part in sorted(parts, key=lambda item: item[0]):
            begins = not clip
            if isinstance(part, av.VideoFrame):
                part.pts, part.time_base = round(moment * 90_000), Fraction(1, 90_000)
                part.pict_type = PictureType.NONE
                encoded = encoder.encode(part)
                begins = begins or any(packet.is_keyframe for packet in encoded)
                output.mux(encoded)
            else:
                part.pts = part.dts = round(moment / part.time_base)
                part.stream = sound
                output.mux(part)
            if begins:
                clip.append([])
            clip[-1].append((float(moment - start), recorder.take()))
        if video:
            output.mux(encoder.encode(None))
    clip[-1].append((float(end - start), recorder.take()))
    return clip


def collect(url: str, chunks: list[tuple[int, bytes]]) -> None:
    """Subscribe from the first segment to the end of the channel."""
    index = 0
    with httpx.Client(timeout=None, verify=False) as client:
        while True:
            with client.stream("GET", f"{url}/{index}") as answer:
                if answer.status_code == 470:
                    index = int(answer.headers["Lp-Trickle-Latest"])
                    continue
                if answer.status_code != 200 or "Lp-Trickle-Closed" in answer.headers:
                    return
                index = int(answer.headers["Lp-Trickle-Seq"])
                for data in answer.iter_bytes():
                    chunks.append((index, data))
            index += 1


class Caller:
    """One stream, as its orchestrator and viewer see it; `jobs` is the client of its container."""

    def __init__(
        self,
        server: Container,
        trickle: TrickleServer,
        stream_id: str,
        jobs: httpx.Client | None = None,
    ) -> None:
        self.id = stream_id
        self.server = server
        self.trickle = trickle
        self.jobs = jobs or server.jobs
        self.urls = {
            key: trickle.create(self.channel(key), mime_type)
            for key, mime_type in MIME_TYPES.items()
        }
        self._received: dict[str, list[tuple[int, bytes]]] = {}
        self._pool = ThreadPoolExecutor(16)
        self._closing = threading.Event()
        self._control = itertools.count()
        self._position = itertools.count()
        for key in ("publish_url", "events_url", "data_url"):
            self._received[key] = []
            # This reader may be slow, and must miss nothing.
            trickle.channels[self.channel(key)].kept = ALL_SEGMENTS
            self._pool.submit(collect, self.urls[key], self._received[key])

    def channel(self, key: str) -> str:
        """Its name."""
        return f"{self.id}-{key.removesuffix('_url')}"

    def start(self, params: Any = None, **changes: Any) -> httpx.Response:
        """POST /stream/start as a BYOC orchestrator does; None removes a key from the body."""
        body = {"gateway_request_id": self.id, "params": params, **self.urls, **changes}
        body = {key: value for key, value in body.items() if value is not None or key == "params"}
        return self.jobs.post("/stream/start", json=body, headers={"X-Stream-Id": self.id})

    def begin(self, params: Any = None, **changes: Any) -> None:
        """The same where it must succeed."""
        answer = self.start(params, **changes)
        assert answer.status_code == 200, answer.text

    def publish(self, clip: Clip, *, speed: float = 1) -> Future[None]:
        """Send the clip at its own pace, or `speed` times faster; done once all has been taken."""
        return self._pool.submit(self._publish, clip, speed)

    def _publish(self, clip: Clip, speed: float) -> None:
        started = time.monotonic()

        def paced(segment: list[tuple[float, bytes]]) -> Iterator[bytes]:
            for seconds, data in segment:
                self._closing.wait(max(0, started + seconds / speed - time.monotonic()))
                if self._closing.is_set():
                    return
                yield data

        with httpx.Client(timeout=DEADLINE_SECONDS, verify=False) as client:
            for segment in clip:
                url = f"{self.urls['subscribe_url']}/{next(self._position)}"
                client.post(url, content=paced(segment))

    def play(self, *clips: Clip, params: Any = None, speed: float = 10) -> None:
        """A whole stream, one clip after the other, from the start to the last word."""
        self.open(params)
        for clip in clips:
            self.publish(clip, speed=speed).result(DEADLINE_SECONDS)
        self.finish()

    def open(self, params: Any = None, **changes: Any) -> None:
        """Begin, and wait until the input is subscribed to: nothing that is sent is lost."""
        self.begin(params, **changes)
        eventually(lambda: self.input.segments, "input subscribed")

    def finish(self) -> None:
        """End the input once it has been received, and wait for the end."""
        eventually(lambda: self.input.get(self.input.next_index), "input received")
        self.end_input()
        self.wait_ended()

    @property
    def input(self) -> Channel:
        return self.trickle.channels[self.channel("subscribe_url")]

    def status(self) -> dict[str, Any]:
        """The session as the container reports it now, empty when it knows none, or not us."""
        answer = self.jobs.get("/stream/status")
        sessions = answer.json()["sessions"] if answer.is_success else []
        return next((one for one in sessions if one["session_id"] == self.id), {})

    def stopped(self) -> dict[str, Any]:
        """The last event."""
        (event,) = self.events("stopped")
        return event

    def control(self, message: bytes) -> None:
        url = f"{self.urls['control_url']}/{next(self._control)}"
        assert httpx.post(url, content=message, verify=False).status_code == 200

    def catch_up(self) -> None:
        """Go on with the numbers that the server tells, as the official SDK begins."""
        channels = self.trickle.channels
        self._position = itertools.count(self.input.next_index)
        self._control = itertools.count(channels[self.channel("control_url")].next_index)

    def close(self, key: str) -> None:
        """Close a channel for everybody, as its owner, if that has not been done."""
        self.trickle.close_channel(self.channel(key))

    def end_input(self) -> None:
        self.close("subscribe_url")

    def stop(self, body: bytes = b"stream ended") -> httpx.Response:
        return self.jobs.post("/stream/stop", content=body, headers={"X-Stream-Id": self.id})

    def wait_ended(self) -> None:
        """Until the session has said its last words, and the container has forgotten it."""
        eventually(lambda: self.events("stopped"), "stopped")
        output = self.channel("publish_url")
        eventually(lambda: output not in self.trickle.channels, "output closed")
        eventually(self._forgotten, "forgotten")

    def _forgotten(self) -> bool:
        try:
            return not self.status()
        except httpx.TransportError:
            return True

    def segments(self, key: str = "publish_url") -> list[bytes]:
        """What has been received so far, segment by segment."""
        received = list(self._received[key])
        return [
            b"".join(data for _, data in part)
            for _, part in itertools.groupby(received, key=lambda item: item[0])
        ]

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events so far, those of one type or all; each segment must hold one object."""
        found = [json.loads(text)["event"] for text in self.segments("events_url") if text]
        return [event for event in found if kind in (None, event.get("type"))]

    def lines(self) -> list[Any]:
        """The data channel's lines so far."""
        text = b"".join(self.segments("data_url"))
        return [json.loads(line) for line in text.splitlines()]

    def output(self) -> bytes:
        return b"".join(self.segments())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for key in MIME_TYPES:
            self.close(key)
        self._pool.shutdown()


def frames(data: bytes) -> list[av.VideoFrame]:
    """All pictures that the MPEG-TS decodes to."""
    with av.open(io.BytesIO(data), format="mpegts") as container:
        assert isinstance(container, InputContainer)
        return list(container.decode(video=0)) if container.streams.video else []


def times(pictures: list[av.VideoFrame]) -> list[int]:
    """When they are shown, in 1/90000 s."""
    moments = [picture.time for picture in pictures]
    return [round(90_000 * moment) for moment in moments if moment is not None]


def sound(data: bytes) -> list[tuple[int, bytes]]:
    """The time, in 1/90000 s, and the content of every audio packet."""
    with av.open(io.BytesIO(data), format="mpegts") as container:
        assert isinstance(container, InputContainer)
        if not container.streams.audio:
            return []
        packets = container.demux(audio=0)
        return [(packet.pts, bytes(packet)) for packet in packets if packet.pts is not None]


def joined(clip: Clip) -> bytes:
    return b"".join(data for segment in clip for _, data in segment)
