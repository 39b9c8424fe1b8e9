"""What the orchestrator of a capability is told, and when; and who may call."""

import os
import signal
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from emulator.container import DEADLINE_SECONDS, Container, eventually
from harness import CAPABILITY, ROOT, size
from my_model.runtime.livepeer.capability import derive_token
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, attempts, run_registering, wait_confirmed
from registrations import (
    PAUSE_SECONDS,
    UNREGISTER,
    available,
    is_known,
    job_route,
    job_routes,
    known,
    leak,
    registrations,
    run_registered,
    words,
)

PROJECT = ROOT / "pyproject.toml"
TOKEN = "a-token-of-ones-own-that-nobody-may-see"
# Longer than any test: what is told meanwhile was told at once.
SELDOM = {"BYOC_REGISTRATION_INTERVAL_SECONDS": "3600"}


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator(secret=SECRET) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, orchestrator: OrchestratorServer
) -> Iterator[Container]:
    settings = {"BYOC_CAPACITY": "4", "BYOC_LOG_LEVEL": "DEBUG"}
    folder = tmp_path_factory.mktemp("capability")
    with run_registered(folder, orchestrator, **SELDOM, **settings) as server:
        yield server


def test_registration_reports_all_fields(tmp_path: Path) -> None:
    """The secret comes without `Bearer`, and what is taken back is a bare name
    (byoc/job_orchestrator.go).
    """
    secrets: list[str] = []
    texts: list[str] = []

    async def look(request: web.Request) -> None:
        secrets.append(request.headers["Authorization"])
        texts.append(await request.text())

    prices = {"BYOC_PRICE_PER_UNIT": "9223372036854775807", "BYOC_PRICE_SCALING": "3"}
    prices |= {"BYOC_PRICE_CURRENCY": "eth", "BYOC_CAPACITY": "3", "BYOC_AUTH_TOKEN": TOKEN}
    with run_orchestrator(secret=SECRET) as orchestrator:
        orchestrator.fault = look
        with run_registered(tmp_path, orchestrator, **prices) as server:
            eventually(lambda: len(registrations(orchestrator)) >= 2, "registered again")
            told = [(call.status, call.body) for call in registrations(orchestrator)[:2]]
            body = {
                "name": CAPABILITY,
                "description": tomllib.loads(PROJECT.read_text())["project"]["description"],
                "url": f"http://127.0.0.1:{server.port}",
                "capacity": 3,
                "price_per_unit": 9223372036854775807,
                "price_scaling": 3,
                "currency": "eth",
                "token": TOKEN,
                "load": 0,
            }
            assert told == 2 * [(200, body)]
            assert server.metric("byoc_registered") == 1
            assert (server.metric("byoc_registration_age_seconds") or 99) < DEADLINE_SECONDS
            assert server.jobs.get("/openapi.json").status_code == 200
            assert server.stop() == 0
    last = words(orchestrator)[-1]
    assert (last.path, last.status, texts[-1]) == (UNREGISTER, 200, CAPABILITY)
    assert set(secrets) == {SECRET}


def test_it_registers_only_after_the_model_has_loaded(tmp_path: Path) -> None:
    release = tmp_path / "release"
    load = {"CHAOS_LOAD": "wait_for_file", "CHAOS_FILE": str(release)}
    settings: dict[str, Any] = load | {"CHAOS_MARK": str(tmp_path / "mark")}
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registering(tmp_path, orchestrator.url, ready=False, **settings) as server,
    ):
        eventually(lambda: size(tmp_path / "mark"), "loading")
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2 * PAUSE_SECONDS)
        assert server.ops.get("/health").status_code == 503
        assert words(orchestrator) == []
        release.touch()
        wait_confirmed(server)


def test_who_was_never_registered_takes_nothing_back(tmp_path: Path) -> None:
    """The name may be that of a neighbour, who serves."""
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registering(tmp_path, orchestrator.url, ready=False, CHAOS_LOAD="wait") as server,
    ):
        assert server.stop() == 0
        assert words(orchestrator) == []


def refuse(server: Container) -> None:
    assert server.jobs.post(job_route(server), headers={"Authorization": ""}).status_code == 401


def crash(server: Container) -> None:
    """The model's process; until there is another one."""
    loaded = len(server.events("model loaded"))
    os.kill(server.worker(), signal.SIGKILL)
    eventually(lambda: len(server.events("model loaded")) > loaded, "loaded again")


def hang_up(server: Container) -> None:
    """In the middle of a request."""
    token = server.jobs.headers["Authorization"]
    head = f"POST {job_route(server)} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS) as caller:
        caller.sendall(f"{head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode())
        assert caller.recv(100).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize("event", [refuse, crash, hang_up])
def test_the_orchestrator_is_told_at_once(
    server: Container, orchestrator: OrchestratorServer, event: Callable[[Container], None]
) -> None:
    """And the slot that it has lost count of is back."""
    known(orchestrator)
    leak(orchestrator)
    assert available(orchestrator) == 3
    event(server)
    eventually(lambda: available(orchestrator) == 4, "registered again")


def test_many_wrong_calls_do_not_cause_a_registration_each(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    before = len(registrations(orchestrator))
    calls = 0
    while len(registrations(orchestrator)) < before + 4:
        refuse(server)
        calls += 1
    moments = [call.at for call in registrations(orchestrator)[before:]]
    assert min(later - earlier for earlier, later in pairwise(moments)) > PAUSE_SECONDS
    assert calls > 4


def test_every_interval_lost_slots_come_back(tmp_path: Path) -> None:
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registered(tmp_path, orchestrator, BYOC_CAPACITY="2"),
    ):
        leak(orchestrator)
        leak(orchestrator)
        eventually(lambda: available(orchestrator) == 2, "registered again")


def test_nobody_calls_without_the_token(server: Container) -> None:
    right = server.jobs.headers["Authorization"]
    assert right != f"Bearer {SECRET}"
    found = job_routes(server)
    assert found
    wrong = ("", "Bearer", right[:-1], f"{right}x", right.removeprefix("Bearer "), "Bearer \xe4")
    for method, path in found:
        for header in wrong:
            headers = {b"Authorization": header.encode("latin-1")}
            assert server.jobs.request(method, path, headers=headers).status_code == 401
        assert server.jobs.request(method, path, content=b"{").status_code != 401
    assert server.jobs.get("/health", headers={"Authorization": ""}).status_code == 200
    assert server.jobs.get("/openapi.json", headers={"Authorization": ""}).status_code == 200


def test_the_derived_token_is_of_this_secret_and_name() -> None:
    """Any process derives the same, as rolling restarts show."""
    pairs = [(SECRET, CAPABILITY), (SECRET, "another"), ("another", CAPABILITY)]
    tokens = {derive_token(*pair).get_secret_value() for pair in pairs}
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32


def test_a_container_without_orchestrator_and_token_is_open(tmp_path: Path) -> None:
    """It says so; a set token is asked for."""
    with run_registering(tmp_path, "") as server:
        assert server.jobs.post(job_route(server)).status_code != 401
        assert len(server.events("serving unregistered: BYOC_ORCHESTRATOR_URL is not set")) == 1
        assert server.metric("byoc_registered") == 0
        assert attempts(server, "ok") == 0
        assert server.stop() == 0
    with run_registering(tmp_path, "", BYOC_AUTH_TOKEN=TOKEN) as server:
        refuse(server)


def test_no_secret_is_told_to_anybody_else(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """Neither in the log, nor in answers and metrics."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"{request.headers} {await request.text()}")

    token = server.jobs.headers["Authorization"].removeprefix("Bearer ")
    headers = {"Authorization": f"Bearer {token}x", "Livepeer": "a-header-with-a-signature"}
    refused = attempts(server, "refused")
    orchestrator.fault = echo
    answer = server.jobs.post(job_route(server), headers=headers)
    eventually(lambda: attempts(server, "refused") > refused, "refused")
    orchestrator.fault = None
    wait_confirmed(server)
    del headers["Authorization"]
    wrong = server.jobs.post(job_route(server), content=b"{", headers=headers)
    said = answer.text + wrong.text + server.ops.get("/metrics").text + server.log()
    assert [it for it in (token, SECRET, headers["Livepeer"]) if it in said] == []
    assert server.events("registered")
    assert is_known(orchestrator)
