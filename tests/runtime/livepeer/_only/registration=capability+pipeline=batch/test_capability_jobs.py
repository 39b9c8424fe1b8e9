"""Jobs on the way that callers of a capability have: through the orchestrator that knows it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from capability_jobs import RUN, job, stream
from emulator.container import DEADLINE_SECONDS, Container, eventually
from emulator.job_header import job_header
from harness import CAPABILITY, size
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, as_caller, attempts, wait_confirmed
from registrations import ask, available, is_known, registrations, run_registered

SELDOM = {"BYOC_REGISTRATION_INTERVAL_SECONDS": "3600"}


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module", autouse=True)
def server(
    tmp_path_factory: pytest.TempPathFactory, orchestrator: OrchestratorServer
) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("jobs")
    with run_registered(folder, orchestrator, BYOC_CAPACITY="2", **SELDOM) as server:
        yield server


@pytest.mark.parametrize("path", ["", "/run", f"/{CAPABILITY}"])
def test_jobs_come_by_every_route(orchestrator: OrchestratorServer, path: str) -> None:
    answer = ask(orchestrator, f"/process/request{path or '/'}", json={"do": "echo", "n": 1})
    assert (answer.status_code, answer.json()) == (200, {"do": "echo", "n": 1})


def test_bytes_go_in_and_out(orchestrator: OrchestratorServer) -> None:
    content = bytes(range(256)) * 10_000
    answer = ask(orchestrator, RUN, content=content)
    assert (answer.status_code, answer.content) == (200, content)


def test_events_end_with_the_last_line(server: Container, orchestrator: OrchestratorServer) -> None:
    values = [1, {"two": "ü"}, "[DONE]", ""]
    assert stream(orchestrator, values=values) == values
    eventually(lambda: available(orchestrator) == 2, "the slot is free")


def test_errors_arrive_as_words(orchestrator: OrchestratorServer) -> None:
    """And leave the capability where it is."""
    for do, status, kind in (("refuse", 422, "bad_request"), ("fail", 500, "model_error")):
        answer = job(orchestrator, do)
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.json()["error"]["type"] == kind
        assert is_known(orchestrator)


def test_jobs_go_on_while_nobody_can_register(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    async def hang(_: web.Request) -> None:
        await asyncio.sleep(3600)

    orchestrator.fault = hang
    assert server.jobs.post("/run", headers={"Authorization": ""}).status_code == 401
    failures = attempts(server, "unreachable")
    while attempts(server, "unreachable") == failures:
        assert job(orchestrator, "echo").status_code == 200
    orchestrator.fault = None
    wait_confirmed(server)


def test_what_is_over_capacity_is_refused(
    server: Container, orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """Orchestrators don't count (core/ai_orchestrator.go)."""
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    jobs = [server.pool.submit(job, orchestrator, "wait_for_file", **order) for _ in range(2)]
    eventually(lambda: server.metric("byoc_sessions_active") == 2, "two jobs")
    assert available(orchestrator) == 0
    answer = job(orchestrator, "echo")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "capacity")
    release.touch()
    assert [it.result().json() for it in jobs] == 2 * ["seen"]
    assert is_known(orchestrator)


def test_the_slot_of_a_caller_who_gave_up_comes_back_at_once(
    server: Container, orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """With the number of jobs that are still running."""
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    running = server.pool.submit(job, orchestrator, "wait_for_file", **order)
    eventually(lambda: size(mark), "a job")
    before = len(registrations(orchestrator))
    header = job_header(CAPABILITY, "impatient", DEADLINE_SECONDS)
    url, body = f"{orchestrator.url}{RUN}", {"do": "wait_for_file", **order}
    with as_caller() as client, pytest.raises(httpx.ReadTimeout):
        client.post(url, json=body, headers=header, timeout=0.5)
    eventually(lambda: len(registrations(orchestrator)) > before, "registered again")
    assert registrations(orchestrator)[-1].body["load"] == 1
    assert available(orchestrator) == 1
    release.touch()
    assert running.result().json() == "seen"
    eventually(lambda: available(orchestrator) == 2, "nothing leaks")
