"""The container with a model that misbehaves on request, for tests of what surrounds a model."""

import json
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from emulator.container import FREE_PORTS, PACKAGE, Container, StartError, run_container
from emulator.container import spawn as spawn_alone
from my_model.__main__ import DEFAULTS, settings
from my_model.runtime.serve import all_settings
from my_model.runtime.settings import Settings, read_settings
from my_model.runtime.signals import ECHO_SECONDS

# The repository that these tests are put into.
ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
ANSWERS = json.loads((ROOT / ".cookiecutter.json").read_text())
CAPABILITY = "my-model"
# What orchestrators find the model under, and how long they lend it.
APP = ANSWERS["app"]
MODE = {"live-video-to-video": "persistent", "batch": "single-shot"}[ANSWERS["pipeline"]]
FEWEST_POLLS = 5  # on a slow machine; where health waits for the model there are one or two
CHAOS = {"BYOC_MODEL": "chaos:Chaos", "PYTHONPATH": str(Path(__file__).parent)}
# Long timeouts, so that only what a test does ends a session, however busy the machine is.
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
    given = {**FREE_PORTS, **CHAOS, **environment}
    return spawn_alone(log_file, [sys.executable, *arguments], **given)


def with_constants(module: str, **constants: float) -> list[str]:
    """Arguments that start a server with other values for these constants of the module."""
    lines = [f"{PACKAGE}.{module}.{name} = {value}" for name, value in constants.items()]
    run = f"runpy.run_module({PACKAGE!r}, run_name='__main__')"
    return ["-c", "\n".join([f"import runpy, {PACKAGE}.{module}", *lines, run])]


def signal_again(server: Container, number: int = signal.SIGTERM) -> None:
    """Send a second signal, late enough not to count as part of the first."""
    time.sleep(ECHO_SECONDS + 0.1)
    server.process.send_signal(number)


def run_server(
    folder: Path,
    *,
    ready: bool = True,
    arguments: list[str] | None = None,
    within: str = "",
    **environment: str,
) -> AbstractContextManager[Container]:
    """The container of this repository, or Python with these arguments; started by a command."""
    command = [*within.split(), sys.executable, *(arguments or ["-m", PACKAGE])]
    return run_container(folder, ready=ready, command=command, **{**CHAOS, **environment})


def read() -> Settings:
    """All settings of this repository, from the environment. Raises SettingsError."""
    return read_settings(all_settings(settings()), DEFAULTS)


def refuse_to_start(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and the log of a container, or of Python so, that must not start."""
    settings: dict[str, Any] = {"ready": False, "arguments": [*arguments], **environment}
    server = run_server(folder, **settings)
    with pytest.raises(StartError) as refusal, server:
        pass
    return refusal.value.exit_code, refusal.value.log
