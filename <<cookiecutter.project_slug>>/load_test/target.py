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
    """Where its ports are. `root` is its process id; `here`, whether it runs on this machine."""

    words: str
    jobs: str
    ops: str
    root: int | None
    here: bool


@contextmanager
def open_target(options: Namespace, folder: Path) -> Iterator[Target]:
    """Raises StartError when a container that is started here ends before it is ready."""
    if options.url or options.orchestrator:
        here = urlsplit(options.ops).hostname in LOOPBACK
        words = options.orchestrator or options.url
        yield Target(f"the container at {words}", options.url, options.ops, None, here)
        return
    settings = {"BYOC_CAPACITY": str(options.most), **dict(options.set)}
    command = [sys.executable, "-c", START]
    with run_container(folder, image=options.image, command=command, **settings) as container:
        words = f"the image {options.image}" if options.image else "a container of this folder"
        jobs, ops = (str(each.base_url).rstrip("/") for each in (container.jobs, container.ops))
        yield Target(words, jobs, ops, root_of(container), True)


def root_of(container: Container) -> int:
    """As this machine has it."""
    if not container.name:
        return container.process.pid
    command = ["docker", "inspect", "--format={{.State.Pid}}", container.name]
    return int(subprocess.check_output(command, timeout=DEADLINE_SECONDS))


def ended(error: StartError) -> str:
    """Why it did, in its last words."""
    lines = error.log.splitlines() or ["its log is empty"]
    told = [line for line in lines if '"level": "error"' in line]
    words = " ".join(told[-1:] or lines[-3:])
    return f"the container ended with exit code {error.exit_code}: {words}"
