"""The container with a model that misbehaves on request, for tests of what surrounds a model."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from emulator.container import FREE_PORTS, Container, StartError, run_container
from emulator.container import spawn as spawn_alone

# The repository that these tests are put into.
ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
ANSWERS = json.loads((ROOT / ".cookiecutter.json").read_text())
CAPABILITY = "my-model"
# What orchestrators find the model under, and how long they lend it.
APP, MODE = {
    "live-video-to-video": ("live-video-to-video/my-model", "persistent"),
    "batch": ("image-to-image/my-model", "single-shot"),
}[ANSWERS["pipeline"]]
FEWEST_POLLS = 5  # on a slow machine; where health waits for the model there are one or two
CHAOS = {"BYOC_MODEL": "chaos:Chaos", "PYTHONPATH": str(Path(__file__).parent)}
# However busy the machine is: what ends a session is what a test does.
CHAOS |= {
    "live-video-to-video": dict.fromkeys(
        ("BYOC_CONTROL_TIMEOUT_SECONDS", "BYOC_SESSION_IDLE_SECONDS"), "600"
    ),
    "batch": {},
}[ANSWERS["pipeline"]]


def size(path: Path) -> int:
    """How many marks the chaos model has left there."""
    return path.stat().st_size if path.exists() else 0


def spawn(log_file: Path, arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
    """Python with these arguments, and with nobody to watch it."""
    settings = {**FREE_PORTS, **CHAOS, **environment}
    return spawn_alone(log_file, [sys.executable, *arguments], **settings)


def run_server(
    folder: Path, *, ready: bool = True, arguments: list[str] | None = None, **environment: str
) -> AbstractContextManager[Container]:
    """The container of this repository, or Python with these arguments."""
    command = [sys.executable, *arguments] if arguments else None
    return run_container(folder, ready=ready, command=command, **{**CHAOS, **environment})


def refuse_to_start(folder: Path, **environment: str) -> tuple[int, str]:
    """The exit code and the words of a container that must not start."""
    settings: dict[str, Any] = {"ready": False, **environment}
    with pytest.raises(StartError) as refusal, run_server(folder, **settings):
        pass
    return refusal.value.exit_code, refusal.value.log
