"""Runs commands in generated repositories, in environments that those with equal needs share."""

import hashlib
import os
import re
import signal
import subprocess
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path

from harness import TEMPLATE, Repository

# One for each processor of a small machine; most of a suite's time is spent waiting.
AT_ONCE = 2
MOST_SECONDS = 3600
PYPROJECT = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))
DEEP: list[str] = PYPROJECT["dependency-groups"]["deep"]
# Python in a generated repository's environment, plus what deep suites need.
DEEP_PYTHON = ("uv", "run", *(f"--with={package}" for package in DEEP), "python", "-m")
# The official SDK is the referee in deep suites. Generated repositories don't need it.
(SDK,) = (package for package in DEEP if package.startswith("livepeer-gateway"))
# What this run was started with does not reach the programs, but that nothing may be skipped.
OWN_VARIABLES = ("BYOC_", "NOX_", "PYTEST_", "PYTHON", "UV_PROJECT_", "VIRTUAL_ENV")
KEPT = "BYOC_REQUIRE_DOCKER"


def inherited() -> dict[str, str]:
    """The variables that programs get."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == KEPT or not name.startswith(OWN_VARIABLES)
    }


class CheckError(Exception):
    """A check that failed, with what it printed."""


def run(
    command: list[str], root: Path, variables: Mapping[str, str], seconds: float = MOST_SECONDS
) -> str:
    """What the command prints; CheckError if it fails, or is not done in time."""
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**inherited(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        raise CheckError(f"{process.communicate()[0]}\nnot done after {seconds} s") from error
    if process.returncode:
        raise CheckError(f"{' '.join(command)}\n{output}")
    return output


def count(output: str) -> str:
    """The line in which pytest counts what passed."""
    lines = re.findall(r"^=+ (\d+ passed.*) =+$", output, re.MULTILINE)
    if not lines:
        raise CheckError(f"{output}\nno test passed")
    return str(lines[-1])


def variables(repository: Repository, folder: Path) -> dict[str, str]:
    """With these uv takes an environment that all programs with the same needs share.

    One of each to a thread: uv installs the program itself there, too.
    """
    text = (repository.root / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)
    groups, build = project["dependency-groups"], project["build-system"]
    python = repository.answers["python_version"]
    needs = repr((python, project["project"]["dependencies"], groups, build))
    digest = hashlib.sha256(needs.encode()).hexdigest()[:12]
    own = folder / f"{threading.current_thread().name}-{digest}"
    return {
        "MYPY_CACHE_DIR": str(own / "mypy"),
        "UV_PROJECT_ENVIRONMENT": str(own / "environment"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
