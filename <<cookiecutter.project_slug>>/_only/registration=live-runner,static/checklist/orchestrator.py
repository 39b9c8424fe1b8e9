"""What an orchestrator says of a live runner, and how it loses one."""

import signal
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from .lab import PATIENCE_SECONDS, soon
from emulator.container import DEADLINE_SECONDS, Container


def offers(options: Namespace) -> bool:
    """Whether callers find it there (contract §5.3)."""
    url = f"{options.orchestrator}/discovery"
    answer = httpx.get(url, timeout=PATIENCE_SECONDS, verify=False).raise_for_status()
    found = [runner for offer in answer.json() for runner in offer.get("runners") or []]
    return options.app in (runner["app"] for runner in found)


def clear(options: Namespace) -> None:
    """Until it offers none: one that is gone is not healthy, or not heard of (contract §5)."""
    words = f"the orchestrator stops offering {options.app}, since none runs here"
    soon(lambda: not offers(options), words)


def lose(options: Namespace, container: Container) -> None:
    """It neither answers nor sends for so long that the orchestrator gives it up."""
    with paused(container):
        clear(options)


@contextmanager
def paused(container: Container) -> Iterator[None]:
    def tell(word: str, number: signal.Signals) -> None:
        if container.name:
            command = ["docker", word, container.name]
            subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_SECONDS)
        else:
            container.process.send_signal(number)

    tell("pause", signal.SIGSTOP)
    try:
        yield
    finally:
        tell("unpause", signal.SIGCONT)
