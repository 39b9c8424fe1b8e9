"""Settings of frames on their way through the model."""

from typing import Literal

from pydantic import Field

from ..settings import Seconds, SettingsGroup


class FrameSettings(SettingsGroup):
    """Frames on their way through the model."""

    job_timeout_seconds: Seconds = Field(
        default=10, description="How long one call of the model may take."
    )
    max_latency_seconds: Seconds = Field(
        default=0.5,
        description="How old a frame may be when the model does not keep up: older ones are"
        " dropped.",
    )
    unprocessed_frames: Literal["pass", "drop"] = Field(
        default="pass",
        description="pass or drop: what becomes of frames that the model failed on, and of all"
        " while its process restarts.",
    )
