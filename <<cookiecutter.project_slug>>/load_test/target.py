"""The container under test: started here, as a process or from an image, or asked where it runs."""

import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from emulator.container import DEADLINE_SECONDS, PACKAGE, Container, StartError, run_container

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Ends with the load test, however that ends (PR_SET_PDEATHSIG).
START = f"""
import ctypes, runpy
ctypes.CDLL(None).prctl(1, {signal.SIGTERM:d})
runpy.run_module({PACKAGE!r}, run_name="__main__", alter_sys=True)
"""


class Target(NamedTuple):
    """Where its ports are. `root` is its process id, if it was started here."""

    words: str
    jobs: str
    ops: str
    root: int | None

    @property
    def here(self) -> bool:
        """Whether it runs on this machine."""
        return urlsplit(self.ops).hostname in LOOPBACK


@contextmanager
def open_target(options: Namespace, folder: Path) -> Iterator[Target]:
    """Raises StartError when a container that is started here ends before it is ready."""
    if options.url or options.orchestrator:
        words = f"the container at {options.orchestrator or options.url}"
        yield Target(words, options.url, options.ops, None)
        return
    settings = {"BYOC_CAPACITY": str(options.most), **dict(options.set)}
    command = [sys.executable, "-c", START]
    with run_container(folder, image=options.image, command=command, **settings) as container:
        words = f"the image {options.image}" if options.image else "a container of this folder"
        yield started(container, words)


def started(container: Container, words: str) -> Target:
    """One that was started here, whose process id is as this machine has it."""
    root = container.process.pid
    if container.name:
        command = ["docker", "inspect", "--format={{.State.Pid}}", container.name]
        root = int(subprocess.check_output(command, timeout=DEADLINE_SECONDS))
    jobs, ops = (str(each.base_url).rstrip("/") for each in (container.jobs, container.ops))
    return Target(words, jobs, ops, root)


def ended(error: StartError) -> str:
    return f"the container ended with exit code {error.exit_code}: {last_words(error.log)}"


def last_words(log: str) -> str:
    """Its last error, if it has one."""
    lines = log.splitlines() or ["its log is empty"]
    told = [line for line in lines if '"level": "error"' in line]
    return " ".join(told[-1:] or lines[-3:])
