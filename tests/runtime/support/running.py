"""Load tests, run as their owner runs them: `python -m load_test` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.container import DEADLINE_SECONDS
from harness import ROOT
from load_test.report import Report

SUITE = Path(__file__).parent


@contextmanager
def load_test(
    folder: Path, *options: object, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """It writes its report, and its words, into the folder."""
    given = {**os.environ, "PYTHONPATH": str(SUITE), **environment}
    command = [sys.executable, "-m", "load_test", *map(str, options), f"--report={folder}"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "words").open("w") as words:
        process = subprocess.Popen(
            command, cwd=ROOT, env=given, stdout=words, stderr=words, text=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


def run_load_test(folder: Path, *options: object, **environment: str) -> tuple[int, str]:
    """Its exit code and its words."""
    with load_test(folder, *options, **environment) as process:
        code = process.wait(2 * DEADLINE_SECONDS)
    return code, (folder / "words").read_text()


def report(folder: Path) -> Report:
    return Report.model_validate_json((folder / "report.json").read_text())


def verdicts(folder: Path) -> list[tuple[int, bool, str, str | None]]:
    """Of each level: sessions, whether it confirms one, the verdict, the limit."""
    levels = report(folder).levels
    return [(each.sessions, each.confirmation, each.verdict, each.limit) for each in levels]
