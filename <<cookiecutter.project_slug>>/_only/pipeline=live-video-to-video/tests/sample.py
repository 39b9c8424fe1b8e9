"""What test_container.py sends to your container: change it with your model."""

from pathlib import Path
from typing import Any

# A file with H.264 video, for which the model needs no longer than it lasts, and parameters.
CLIP = Path(__file__).parent / "data" / "bigbuckbunny.mp4"
PARAMS: dict[str, Any] = {"gain": 2}

# Parameters that the model refuses, and the field that it names; None if it refuses nothing.
WRONG: tuple[dict[str, Any], str] | None = ({"gain": -1}, "gain")

# What the container under test is set to; on a busy machine no frame counts as late.
SETTINGS: dict[str, Any] = {
    "BYOC_MAX_LATENCY_SECONDS": "120",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "120",
}
