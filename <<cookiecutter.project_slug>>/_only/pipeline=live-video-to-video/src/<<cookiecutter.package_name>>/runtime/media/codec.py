"""The video encoder: which one is used, and how it is set for low delay."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import structlog
from av import FFmpegError, VideoFrame
from av.rational import AVRational
from av.video.codeccontext import VideoCodecContext

from ..settings import SettingsError

type Rational = Fraction | AVRational

LONGEST_GOP = 100_000
PIXELS_PER_THREAD = 1280 * 720

log = structlog.get_logger()


class VideoEncoder(NamedTuple):
    """libav's name for it, and its options.

    They ask for no B-frames and no look-ahead: a picture comes out for each that goes in. Keyframes
    come when they are asked for, and are points where decoding can start.
    """

    name: str
    options: dict[str, str]


def choose_encoder(setting: str, encoders: Sequence[VideoEncoder]) -> VideoEncoder:
    """`auto` is the first one whose trial succeeds; the last one needs no trial.

    Raises SettingsError when the setting names an encoder that is not there or does not work.
    """
    candidates = [encoder for encoder in encoders if setting in ("auto", encoder.name)]
    if not candidates:
        names = " or ".join(["auto", *(encoder.name for encoder in encoders)])
        words = f"must be {names}, because this container was generated without another encoder"
        raise SettingsError(f"BYOC_VIDEO_ENCODER={setting!r}: {words}")
    failures: dict[str, str] = {}
    for encoder in candidates:
        if encoder is encoders[-1]:
            if failures:
                log.info("video encoder chosen", encoder=encoder.name, **failures)
            return encoder
        try:
            try_encoder(encoder)
        except (FFmpegError, ValueError) as error:
            reason = error.strerror if isinstance(error, FFmpegError) else error
            failures[f"trial_of_{encoder.name}"] = str(reason)
        else:
            log.info("video encoder chosen", encoder=encoder.name)
            return encoder
    reasons = "; ".join(failures.values())
    raise SettingsError(f"BYOC_VIDEO_ENCODER={setting!r} does not work here: {reasons}")


def try_encoder(encoder: VideoEncoder) -> None:
    """Encode one black picture; raises FFmpegError or ValueError when that can't be done."""
    context = create_encoder(encoder, 640, 360, Fraction(1, 90_000), Fraction(30))
    picture = VideoFrame(640, 360, "yuv420p")
    picture.pts = 0
    picture.time_base = Fraction(1, 90_000)
    if not context.encode(picture) + context.encode(None):
        raise ValueError("no packet came out")


def create_encoder(
    encoder: VideoEncoder, width: int, height: int, time_base: Rational, rate: Rational
) -> VideoCodecContext:
    """For yuv420p pictures; width and height are even, in pixels, `rate` in pictures a second."""
    context = av.CodecContext.create(encoder.name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width = width
    context.height = height
    context.pix_fmt = "yuv420p"
    context.time_base = time_base
    context.framerate = rate
    context.gop_size = LONGEST_GOP
    context.max_b_frames = 0
    context.thread_count = max(1, width * height // PIXELS_PER_THREAD)
    context.options = encoder.options
    return context
