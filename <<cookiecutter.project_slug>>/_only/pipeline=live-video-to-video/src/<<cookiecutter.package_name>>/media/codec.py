"""A video encoder, set for low delay."""

from fractions import Fraction

import av
from av.rational import AVRational
from av.video.codeccontext import VideoCodecContext

from ..encoders import OPTIONS, EncoderName

type Rational = Fraction | AVRational

LONGEST_GOP = 100_000
PIXELS_PER_THREAD = 1280 * 720


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
