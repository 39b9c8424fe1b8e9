"""What test_container.py sends to your container: change it when you change your model."""

from pathlib import Path
from typing import Any

# A file that the model answers. Its name gives its content type.
JOB = Path(__file__).parent / "data" / "grace_hopper.jpg"

# A job in JSON that the model refuses, and the field that it names; None if it refuses nothing.
WRONG: tuple[dict[str, Any], str] | None = ({"image": "no base64!"}, "image")

# Settings of the container under test.
SETTINGS: dict[str, Any] = {}
