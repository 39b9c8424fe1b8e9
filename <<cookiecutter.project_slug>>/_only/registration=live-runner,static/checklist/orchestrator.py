"""Whether an orchestrator offers a live runner, and how to make it forget one."""

import signal
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from .lab import PATIENCE_SECONDS, soon
from emulator.container import DEADLINE_SECONDS, Container


def offers(options: Namespace) -> bool:
    """Whether callers find the container there (server/ai_http.go)."""
    url = f"{options.orchestrator}/discovery"
    answer = httpx.get(url, timeout=PATIENCE_SECONDS, verify=False).raise_for_status()
    found = [runner for offer in answer.json() for runner in offer.get("runners") or []]
    return options.app in (runner["app"] for runner in found)


def clear(options: Namespace) -> None:
    """Wait until the orchestrator offers none, because none is healthy or sends
    (ai/runner/live_runner.go).
    """
    words = f"the orchestrator stops offering {options.app}, since none runs here"
    soon(lambda: not offers(options), words)


def lose(options: Namespace, container: Container) -> None:
    """Pause the container until the orchestrator forgets it."""
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
