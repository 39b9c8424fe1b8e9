"""The video encoder: which one, and how it is set for low delay."""

from fractions import Fraction
from typing import Literal

import av
import structlog
from av import FFmpegError, VideoFrame
from av.rational import AVRational
from av.video.codeccontext import VideoCodecContext

from ..settings import SettingsError

type Rational = Fraction | AVRational
type EncoderName = Literal["libx264", "h264_nvenc"]

# No B-frames and no look-ahead: a picture comes out for each that goes in. Keyframes come when
# they are asked for, and are points where decoding can start.
OPTIONS: dict[EncoderName, dict[str, str]] = {
    "libx264": {
        "preset": "superfast",
        "tune": "zerolatency",
        "crf": "23",
        "forced-idr": "1",
        "sc_threshold": "0",
    },
    "h264_nvenc": {
        "preset": "p3",
        "tune": "ull",
        "rc": "vbr",
        "cq": "25",
        "zerolatency": "1",
        "delay": "0",
        "forced-idr": "1",
    },
}
LONGEST_GOP = 100_000
PIXELS_PER_THREAD = 1280 * 720

log = structlog.get_logger()


def choose_encoder(setting: Literal["auto"] | EncoderName) -> EncoderName:
    """`auto` is h264_nvenc where a trial succeeds. Raises SettingsError."""
    if setting == "libx264":
        return setting
    try:
        try_encoder("h264_nvenc")
    except (FFmpegError, ValueError) as error:
        reason = error.strerror if isinstance(error, FFmpegError) else str(error)
        if setting == "h264_nvenc":
            words = f"BYOC_VIDEO_ENCODER={setting!r} does not work here: {reason}"
            raise SettingsError(words) from None
        log.info("video encoder chosen", encoder="libx264", trial_of_h264_nvenc=reason)
        return "libx264"
    log.info("video encoder chosen", encoder="h264_nvenc")
    return "h264_nvenc"


def try_encoder(name: EncoderName) -> None:
    """Encode one black picture; raises FFmpegError or ValueError when that can't be done."""
    encoder = create_encoder(name, 640, 360, Fraction(1, 90_000), Fraction(30))
    picture = VideoFrame(640, 360, "yuv420p")
    picture.pts = 0
    picture.time_base = Fraction(1, 90_000)
    if not encoder.encode(picture) + encoder.encode(None):
        raise ValueError("no packet came out")


def create_encoder(
    name: EncoderName, width: int, height: int, time_base: Rational, rate: Rational
) -> VideoCodecContext:
    """For yuv420p pictures; width and height are even, in pixels, `rate` in pictures a second."""
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width = width
    encoder.height = height
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = time_base
    encoder.framerate = rate
    encoder.gop_size = LONGEST_GOP
    encoder.max_b_frames = 0
    encoder.thread_count = max(1, width * height // PIXELS_PER_THREAD)
    encoder.options = OPTIONS[name]
    return encoder
