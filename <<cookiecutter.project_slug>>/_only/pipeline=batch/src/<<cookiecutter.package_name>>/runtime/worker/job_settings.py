"""Settings of jobs."""

from pydantic import Field

from ..settings import Seconds, SettingsGroup


class JobSettings(SettingsGroup):
    """Jobs."""

    job_timeout_seconds: Seconds = Field(
        default=60, description="How long the model may take for one job."
    )
    send_timeout_seconds: Seconds = Field(
        default=10, description="How long a caller may take to read on in an answer."
    )


PIPELINE_SETTINGS = (JobSettings,)
