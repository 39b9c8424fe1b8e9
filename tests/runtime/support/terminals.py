"""Programs of a generated repository that write to a terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from emulator.container import DEADLINE_SECONDS
from harness import ROOT

SUITE = Path(__file__).parent


def on_a_terminal(*arguments: object, columns: int) -> tuple[int, str]:
    """Python's exit code, and all that a terminal of that width got."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SUITE), "COLUMNS": str(columns), "TERM": "xterm"},
        cwd=ROOT,
        stdout=its,
    )
    os.close(its)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # the terminal is gone with the process
        pass
    os.close(ours)
    return process.wait(DEADLINE_SECONDS), shown.decode()


def without_terminal(*arguments: object, columns: int = 80) -> tuple[int, str]:
    """Python's exit code, and all that it wrote."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SUITE), "COLUMNS": str(columns)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
