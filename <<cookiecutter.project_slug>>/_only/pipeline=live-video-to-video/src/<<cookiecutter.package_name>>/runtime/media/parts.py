"""The parts that the decoder splits the input into."""

from typing import Any, NamedTuple

from av import AudioStream, Packet, VideoStream
from av.container import InputContainer

from ..worker.notices import InputChanged
from ..worker.scheduler import DropReason, Frame

type MediaPacket = Packet[Any]


class Layout(NamedTuple):
    """The next parts belong to these streams, which need their container to be open."""

    container: InputContainer
    video: VideoStream | None
    audio: AudioStream | None


class Dropped(NamedTuple):
    """A frame that is not passed on."""

    reason: DropReason


# A packet is one of audio; after `InputChanged` comes nothing.
type Part = Layout | Frame | MediaPacket | Dropped | InputChanged
