"""The encoder that runs on the CPU."""

from .codec import VideoEncoder

LIBX264 = VideoEncoder(
    "libx264",
    {
        "preset": "superfast",
        "tune": "zerolatency",
        "crf": "23",
        "forced-idr": "1",
        "sc_threshold": "0",
    },
)
