"""Which video encoder is used."""

from ..encoders import EncoderName, EncoderSetting


def choose_encoder(_: EncoderSetting) -> EncoderName:
    return "libx264"
