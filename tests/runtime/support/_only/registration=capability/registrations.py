"""A container that registers a capability, and what its orchestrator sees of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from emulator.container import Container, eventually
from emulator.job_header import job_header
from harness import CAPABILITY
from orchestrator.capabilities import Capability
from orchestrator.server import Call, OrchestratorServer
from registering import SECRET, as_caller, run_registering, wait_confirmed

REGISTER, UNREGISTER = "/capability/register", "/capability/unregister"
FIRST_ROUTES = ("/run", "/stream/start")
# What the container leaves between two words, as the other end may measure it.
PAUSE_SECONDS = 0.45


@contextmanager
def run_registered(
    folder: Path, orchestrator: OrchestratorServer, **environment: Any
) -> Iterator[Container]:
    """It has been confirmed; `server.jobs` knows the token, if the orchestrator still does."""
    with run_registering(folder, orchestrator.url, **environment) as server:
        wait_confirmed(server)
        server.jobs.headers["Authorization"] = f"Bearer {known(orchestrator).token}"
        yield server


def job_routes(server: Container) -> list[tuple[str, str]]:
    """Method and path."""
    paths = server.jobs.get("/openapi.json").json()["paths"]
    return [(method, path) for path in paths if path != "/health" for method in paths[path]]


def job_route(server: Container) -> str:
    """Where jobs are sent to, or streams begin."""
    return next(path for _, path in job_routes(server) if path in FIRST_ROUTES)


def known(orchestrator: OrchestratorServer) -> Capability:
    """What the orchestrator knows of the capability, once it does."""
    capabilities = orchestrator.registry.capabilities.by_name
    found = eventually(lambda: capabilities.get(CAPABILITY), "registered")
    assert found
    return found


def is_known(orchestrator: OrchestratorServer) -> bool:
    return CAPABILITY in orchestrator.registry.capabilities.by_name


def available(orchestrator: OrchestratorServer) -> int:
    """How many more jobs it would send."""
    return orchestrator.registry.capabilities.available(CAPABILITY)


def words(orchestrator: OrchestratorServer) -> list[Call]:
    """All that containers have told it."""
    return list(orchestrator.calls)


def registrations(orchestrator: OrchestratorServer) -> list[Call]:
    return [call for call in words(orchestrator) if call.path == REGISTER]


def tell(orchestrator: OrchestratorServer, path: str, **options: Any) -> None:
    """What somebody else who knows the secret says."""
    with as_caller() as client:
        headers = {"Authorization": SECRET}
        answer = client.post(f"{orchestrator.url}{path}", headers=headers, **options)
        assert (answer.status_code, answer.text) == (200, "ok")


def register_other(orchestrator: OrchestratorServer, **fields: Any) -> None:
    """Somebody else takes the name."""
    tell(orchestrator, REGISTER, json={"name": CAPABILITY, "capacity": 1, **fields})


def ask(
    orchestrator: OrchestratorServer,
    path: str,
    *,
    job: str = "a-job",
    seconds: int = 30,
    request: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    **options: Any,
) -> httpx.Response:
    """What a caller of the capability gets from the orchestrator."""
    details = {"request": request or {}, "parameters": parameters or {}}
    header = job_header(CAPABILITY, job, seconds, **details)
    with as_caller() as client:
        return client.post(f"{orchestrator.url}{path}", headers=header, **options)


def leak(orchestrator: OrchestratorServer) -> None:
    """A slot is lost: the orchestrator never counts it as free again (byoc/job_orchestrator.go)."""
    assert ask(orchestrator, "/process/request/%25").status_code == 500
