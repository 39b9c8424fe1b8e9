"""What test_container.py sends to your container: change it when you change your model."""

from pathlib import Path
from typing import Any

# A file with H.264 video, which the model processes in real time, and parameters.
CLIP = Path(__file__).parent / "data" / "bigbuckbunny.mp4"
PARAMS: dict[str, Any] = {"gain": 2}

# Parameters that the model refuses, and the field that it names; None if it refuses nothing.
WRONG: tuple[dict[str, Any], str] | None = ({"gain": -1}, "gain")

# Settings of the container under test: no frame counts as late, because the machine may be busy.
SETTINGS: dict[str, Any] = {
    "BYOC_MAX_LATENCY_SECONDS": "120",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "120",
}
