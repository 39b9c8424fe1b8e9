"""What test_container.py sends to your container: change it with your model."""

from pathlib import Path
from typing import Any

# A file that the model answers. What its content is follows from its name.
JOB = Path(__file__).parent / "data" / "grace_hopper.jpg"

# A job in JSON that the model refuses, and the field that it names; None if it refuses nothing.
WRONG: tuple[dict[str, Any], str] | None = ({"image": "no base64!"}, "image")

# What the container under test is set to.
SETTINGS: dict[str, Any] = {}
