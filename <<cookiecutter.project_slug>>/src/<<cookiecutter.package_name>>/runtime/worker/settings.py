"""Settings of the model's process."""

from pathlib import Path

from pydantic import Field

from ..settings import Seconds, SettingsGroup


class WorkerSettings(SettingsGroup):
    """The model's process."""

    model: str = Field(
        pattern=r"^[\w.]+:\w+$", description="The module and the class of the model."
    )
    weights_dir: Path = Field(
        default=Path("weights"),
        description="Where the model finds its weights; /models in the image.",
    )
    load_timeout_seconds: Seconds = Field(
        default=300, description="How long one start of the model may take."
    )
