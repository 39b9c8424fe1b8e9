"""Settings of the GPU."""

from pydantic import Field

from ..settings import SettingsGroup


class GpuSettings(SettingsGroup):
    """The GPU."""

    require_gpu: bool = Field(default=False, description="1: don't start without a GPU.")
