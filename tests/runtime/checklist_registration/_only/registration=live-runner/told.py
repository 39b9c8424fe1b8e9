"""An orchestrator at which live runners register."""

from contextlib import AbstractContextManager

from orchestrator.server import OrchestratorServer, run_orchestrator


def run_told_orchestrator(container_port: int) -> AbstractContextManager[OrchestratorServer]:
    """It forgets them in half the time that go-livepeer takes."""
    return run_orchestrator(heartbeat_seconds=2, ttl_seconds=10)
