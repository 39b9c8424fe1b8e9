"""A container that registers itself, at an address that is known beforehand."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from emulator.container import DEADLINE_SECONDS, Container, eventually
from harness import run_server

SECRET = "an-orchestrators-secret-that-nobody-may-see"


@contextmanager
def free_port() -> Iterator[int]:
    """Nobody who takes any port gets this one; whoever asks for it by number does."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def run_registering(
    folder: Path,
    url: str,
    *,
    ready: bool = True,
    arguments: list[str] | None = None,
    **environment: str,
) -> Iterator[Container]:
    """A server that registers at this orchestrator, with tries at most 1 s apart."""
    with free_port() as port:
        settings = {
            "BYOC_ORCHESTRATOR_URL": url,
            "BYOC_ORCHESTRATOR_SECRET": SECRET,
            "BYOC_REGISTRATION_INTERVAL_SECONDS": "1",
            "BYOC_CONTAINER_URL": f"http://127.0.0.1:{port}/",
            "BYOC_PORT": str(port),
        }
        folder.mkdir(exist_ok=True)
        settings |= environment
        with run_server(folder, ready=ready, arguments=arguments, **settings) as server:
            yield server


def attempts(server: Container, outcome: str) -> float:
    return server.metric("byoc_registration_attempts_total", outcome=outcome) or 0


def wait_confirmed(server: Container) -> None:
    eventually(lambda: server.metric("byoc_registered") == 1, "registered")


def as_caller() -> httpx.Client:
    """For the orchestrator, which has signed its own certificate."""
    return httpx.Client(verify=False, timeout=DEADLINE_SECONDS)
