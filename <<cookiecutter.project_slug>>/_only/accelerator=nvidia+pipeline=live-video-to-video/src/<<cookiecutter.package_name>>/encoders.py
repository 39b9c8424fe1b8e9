"""The video encoders, each set for low delay."""

from typing import Literal

type EncoderName = Literal["libx264", "h264_nvenc"]
type EncoderSetting = Literal["auto", "libx264", "h264_nvenc"]

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
