"""The encoder of NVIDIA's GPUs, which not all of them have."""

from .codec import VideoEncoder
from .x264 import LIBX264

H264_NVENC = VideoEncoder(
    "h264_nvenc",
    {
        "preset": "p3",
        "tune": "ull",
        "rc": "vbr",
        "cq": "25",
        "zerolatency": "1",
        "delay": "0",
        "forced-idr": "1",
    },
)

# In order of preference.
ENCODERS = (H264_NVENC, LIBX264)
