"""A server that the operator has told an orchestrator of."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulator.container import Container
from harness import ROOT, run_server
from orchestrator.server import OrchestratorServer

RUNNERS = ROOT / "runners.json"


@contextmanager
def run_known_server(
    orchestrator: OrchestratorServer, folder: Path, **environment: Any
) -> Iterator[Container]:
    """As runners.json has it, at this server's ports and with its capacity."""
    with run_server(folder, **environment) as server:
        (runner,) = json.loads(RUNNERS.read_text())["runners"]
        runner["runner_url"] = str(server.jobs.base_url)
        runner["health_url"] = str(server.ops.base_url.join("/health"))
        runner["capacity"] = int(environment.get("BYOC_CAPACITY", 1))
        orchestrator.registry.register_static(json.dumps({"runners": [runner]}).encode())
        yield server
