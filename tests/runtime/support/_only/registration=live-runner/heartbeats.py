"""What an orchestrator sees of a container that registers itself as a live runner."""

import asyncio

import httpx
from aiohttp import web

from emulator.container import eventually
from orchestrator.runners import Runner
from orchestrator.server import Call, OrchestratorServer


def runners(orchestrator: OrchestratorServer) -> list[Runner]:
    """Those that it knows."""
    return list(orchestrator.registry.runners)


def registered(orchestrator: OrchestratorServer, other_than: Runner | None = None) -> Runner:
    """The one runner, once there is one."""

    def find() -> Runner | None:
        return next((it for it in runners(orchestrator) if it is not other_than), None)

    found = eventually(find, "registered")
    assert found
    return found


def heartbeats(orchestrator: OrchestratorServer) -> list[Call]:
    return [call for call in list(orchestrator.calls) if call.path == "/runners/heartbeat"]


def accepted(orchestrator: OrchestratorServer) -> list[Call]:
    return [call for call in heartbeats(orchestrator) if call.status == 200]


def withdrawals(orchestrator: OrchestratorServer) -> list[Call]:
    return [call for call in list(orchestrator.calls) if call.path.endswith("/unregister")]


def no_room(answer: httpx.Response) -> bool:
    """The orchestrator itself has refused a reservation (ai/runner/live_runner.go)."""
    return (answer.status_code, answer.text) == (503, "no capacity available for runner\n")


async def take_time(request: web.Request) -> None:
    """A fault that delays unregistering."""
    if request.path.endswith("/unregister"):
        await asyncio.sleep(0.4)
