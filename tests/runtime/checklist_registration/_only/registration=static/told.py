"""An orchestrator whose operator has told it of a container."""

import json
from contextlib import AbstractContextManager

from known import RUNNERS
from orchestrator.server import OrchestratorServer, run_orchestrator


def run_told_orchestrator(container_port: int) -> AbstractContextManager[OrchestratorServer]:
    """It polls more often than go-livepeer does."""
    (runner,) = json.loads(RUNNERS.read_text())["runners"]
    runner["runner_url"] = f"http://127.0.0.1:{container_port}"
    runner["health_url"] = f"http://127.0.0.1:{container_port + 1}/health"
    runner["capacity"] = 2
    told = json.dumps({"runners": [runner]}).encode()
    return run_orchestrator(static=told, health_seconds=1)
