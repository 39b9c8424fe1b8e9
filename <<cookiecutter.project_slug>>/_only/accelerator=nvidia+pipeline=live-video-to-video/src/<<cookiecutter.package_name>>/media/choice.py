"""Which video encoder is used."""

from fractions import Fraction

import structlog
from av import FFmpegError, VideoFrame

from ..encoders import EncoderName, EncoderSetting
from ..settings import SettingsError
from .codec import create_encoder

log = structlog.get_logger()


def choose_encoder(setting: EncoderSetting) -> EncoderName:
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
