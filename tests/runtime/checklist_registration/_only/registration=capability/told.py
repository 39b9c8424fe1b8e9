"""An orchestrator at which containers register a capability."""

from contextlib import AbstractContextManager

from orchestrator.server import OrchestratorServer, run_orchestrator


def run_told_orchestrator(container_port: int) -> AbstractContextManager[OrchestratorServer]:
    return run_orchestrator()
