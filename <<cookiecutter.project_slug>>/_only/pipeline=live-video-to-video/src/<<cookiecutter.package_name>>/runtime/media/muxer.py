"""Puts encoded packets into MPEG-TS, in segments that can be played alone."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from av import AudioStream, VideoStream
from av import open as open_container

from .parts import MediaPacket

PACKET_BYTES = 188
SEGMENT_SECONDS = 1
MAX_HELD_PACKETS = 512
NEVER = "86400"
# The tables come before every keyframe, and at no other time: that is where segments are cut.
# Packets are written at once, and pictures with their length, so that a reader finds the end of a
# picture without waiting for the next one. Times stay as they are.
OPTIONS = {
    "avoid_negative_ts": "disabled",
    "flush_packets": "1",
    "max_interleave_delta": "1",
    "mpegts_copyts": "1",
    "omit_video_pes_length": "0",
    "pat_period": NEVER,
    "pes_payload_size": "0",
    "sdt_period": NEVER,
}


class Chunk(NamedTuple):
    """Encoded bytes, and whether a segment begins with them."""

    data: bytes
    begins: bool


type Emit = Callable[[Chunk], None]


class Cutter:
    """A file for libav. Emits what is written, cut where segments begin."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._started = False

    def write(self, data: bytes) -> int:
        """Whole packets: the buffer's size is a multiple of theirs."""
        start, begins = 0, not self._started
        for position in range(0, len(data), PACKET_BYTES):
            if data[position + 1] & 0x1F == 0 and data[position + 2] == 0:
                if self._started and position > start:
                    self._emit(Chunk(bytes(data[start:position]), begins))
                    start = position
                begins = self._started = True
        self._emit(Chunk(bytes(data[start:]), begins))
        return len(data)


class Muxer:
    """One timeline of one video and one audio stream, either of which may be missing.

    Audio is held back until the first keyframe: a segment starts with one.
    """

    def __init__(self, video: VideoStream | None, audio: AudioStream | None, emit: Emit) -> None:
        options = OPTIONS if video else OPTIONS | {"pat_period": str(SEGMENT_SECONDS)}
        self._container = open_container(
            Cutter(emit), "w", format="mpegts", options=options, buffer_size=100 * PACKET_BYTES
        )
        self._video = None
        if video:
            # MPEG-TS does not carry the size, but libav asks for one.
            self._video = self._container.add_mux_stream(
                "h264", width=1, height=1, time_base=video.time_base
            )
        self._audio = self._container.add_stream_from_template(audio) if audio else None
        self._held: deque[MediaPacket] | None = deque(maxlen=MAX_HELD_PACKETS) if video else None

    def video(self, packet: MediaPacket) -> None:
        packet.stream = self._video
        self._container.mux(packet)
        if self._held is not None:
            held, self._held = self._held, None
            for audio in held:
                self.audio(audio)

    def audio(self, packet: MediaPacket) -> None:
        if self._held is not None:
            self._held.append(packet)
            return
        packet.stream = self._audio
        self._container.mux(packet)

    def close(self) -> None:
        """Write what the muxer holds."""
        self._container.close()
