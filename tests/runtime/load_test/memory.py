"""The memory that models take, in a file that the stand-in for the driver reads."""

import os
from pathlib import Path

MIB = 2**20
MODEL, SESSION = 100 * MIB, 100 * MIB


def take(sessions: int) -> None:
    """What so many sessions take, and the model itself."""
    if path := os.environ.get("MODEL_MEMORY"):
        draft = Path(f"{path}.draft")
        draft.write_text(f"{MODEL + sessions * SESSION}\n")
        draft.rename(path)
