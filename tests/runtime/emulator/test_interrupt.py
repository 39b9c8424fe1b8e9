"""What Ctrl-C leaves of a container that a test has started."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from emulator.container import run_container


def test_an_interrupt_while_a_container_starts_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come when the process runs and nobody holds it yet."""
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), run_container(tmp_path):
        pass
    (process,) = started
    assert process.poll() == -signal.SIGKILL
