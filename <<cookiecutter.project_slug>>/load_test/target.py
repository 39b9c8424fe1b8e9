"""The container under test: started here, as a process or from an image, or already running."""

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
# It ends with the load test, however that ends (PR_SET_PDEATHSIG).
START = f"""
import ctypes, runpy
ctypes.CDLL(None).prctl(1, {signal.SIGTERM:d})
runpy.run_module({PACKAGE!r}, run_name="__main__", alter_sys=True)
"""


class Target(NamedTuple):
    """The addresses of its ports. `root` is its process id, if it was started here."""

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
    """Raises StartError if a container that is started here ends before it is ready."""
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
    """A container that was started here, with its process id on this machine."""
    root = container.process.pid
    if container.name:
        command = ["docker", "inspect", "--format={{.State.Pid}}", container.name]
        root = int(subprocess.check_output(command, timeout=DEADLINE_SECONDS))
    jobs, ops = (str(each.base_url).rstrip("/") for each in (container.jobs, container.ops))
    return Target(words, jobs, ops, root)


def ended(error: StartError) -> str:
    return f"the container ended with exit code {error.exit_code}: {last_words(error.log)}"


def last_words(log: str) -> str:
    """The last error in the log, else its last lines."""
    lines = log.splitlines() or ["its log is empty"]
    told = [line for line in lines if '"level": "error"' in line]
    return " ".join(told[-1:] or lines[-3:])
