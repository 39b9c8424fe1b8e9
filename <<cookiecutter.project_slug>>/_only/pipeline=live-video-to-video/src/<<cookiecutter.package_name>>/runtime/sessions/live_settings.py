"""Settings of live sessions, and all those that a container of live video has."""

from pydantic import Field

from ..livepeer.tls import TlsSettings
from ..media.settings import MediaSettings
from ..settings import Seconds, SettingsGroup
from ..worker.frame_settings import FrameSettings


class LiveSettings(SettingsGroup):
    """Sessions."""

    control_timeout_seconds: Seconds = Field(
        default=60,
        description="A session ends when nothing comes on its control channel for this long.",
    )
    session_idle_seconds: Seconds = Field(
        default=60,
        description="A session without a control channel, or behind a live-runner proxy, ends"
        " when no input comes for this long.",
    )


PIPELINE_SETTINGS = (LiveSettings, FrameSettings, MediaSettings, TlsSettings)
