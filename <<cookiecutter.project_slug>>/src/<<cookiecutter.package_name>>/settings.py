"""The model's own settings: variables of the environment that are checked when it starts.

For example, `steps: int = Field(default=4, ge=1, description="Denoising steps.")` is MODEL_STEPS.
The model reads them with `Settings.read()`, and `uv run nox -s settings` writes them into
`.env.example`. Import no framework here: the main process imports this file.
"""

from .runtime.interface import ModelSettings


class Settings(ModelSettings):
    """No setting yet."""
