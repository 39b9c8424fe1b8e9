"""A server that an orchestrator comes to know of by itself."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulator.container import Container, eventually
from harness import run_server
from orchestrator.server import OrchestratorServer

SECRET = "orch-secret"


@contextmanager
def run_known_server(
    orchestrator: OrchestratorServer, folder: Path, **environment: Any
) -> Iterator[Container]:
    """The server has registered."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = str(unused.getsockname()[1])
    settings: dict[str, Any] = {
        "BYOC_PORT": port,
        "BYOC_ORCHESTRATOR_URL": orchestrator.url,
        "BYOC_ORCHESTRATOR_SECRET": SECRET,
        "BYOC_CONTAINER_URL": f"http://127.0.0.1:{port}",
    }
    with run_server(folder, **settings, **environment) as server:
        eventually(lambda: server.metric("byoc_registered") == 1, "registered")
        yield server
