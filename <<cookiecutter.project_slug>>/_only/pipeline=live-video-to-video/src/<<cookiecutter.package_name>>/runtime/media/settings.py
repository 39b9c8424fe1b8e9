"""Settings of the media."""

from typing import Literal

from pydantic import Field

from ..settings import SettingsGroup


class MediaSettings(SettingsGroup):
    """Media."""

    video_encoder: Literal["auto", "libx264", "h264_nvenc"] = Field(
        default="auto",
        description="auto, or the name of an encoder: auto takes h264_nvenc where the container"
        " was generated for it and a trial encode succeeds, else libx264.",
    )
