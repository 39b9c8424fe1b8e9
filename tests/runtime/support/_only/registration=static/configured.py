"""A container that the operator has told an orchestrator of, with runners.json."""

import json
from typing import Any

from emulator.container import Container, eventually
from harness import ROOT
from orchestrator.server import OrchestratorServer
from runner_client import Client

RUNNERS = ROOT / "runners.json"
# How often its health is asked for.
QUICK = {"health_seconds": 0.1}


def entry(server: Container, **changes: Any) -> dict[str, Any]:
    """That of the file, at this server's ports."""
    runner: dict[str, Any]
    (runner,) = json.loads(RUNNERS.read_text())["runners"]
    addresses = {
        "runner_url": str(server.jobs.base_url),
        "health_url": str(server.ops.base_url.join("/health")),
    }
    return runner | addresses | changes


def configure(orchestrator: OrchestratorServer, *entries: dict[str, Any]) -> list[dict[str, Any]]:
    """Register these runners; returns what the orchestrator answers for each."""
    with Client(orchestrator) as client:
        answer = client.post("/registerLiveRunners", json={"runners": entries})
        assert answer.status_code == 200, answer.text
        told: list[dict[str, Any]] = answer.json()["runners"]
        return told


def discovered(orchestrator: OrchestratorServer) -> list[dict[str, Any]]:
    with Client(orchestrator) as client:
        return client.discovered()


def open_sessions(server: Container) -> int:
    """As many as the operator tells the orchestrator of before a drain: 1 at least."""
    return max(1, int(server.metric("byoc_sessions_active") or 0))


def gone(orchestrator: OrchestratorServer, count: int = 0) -> None:
    """Polls have found it not healthy."""
    eventually(lambda: len(discovered(orchestrator)) == count, "unavailable")
