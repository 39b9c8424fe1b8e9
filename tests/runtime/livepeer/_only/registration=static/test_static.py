"""What the operator gives to the orchestrator, and what it finds at the container."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from configured import QUICK, RUNNERS, configure, discovered, entry, gone
from emulator.container import PACKAGE, Container, StartContainer, eventually
from harness import APP, MODE, read
from my_model.runtime.livepeer.static import POLLED_SECONDS
from my_model.runtime.settings import ContainerSettings
from orchestrator.server import run_orchestrator

TOKEN = "a-token-of-ones-own-that-nobody-may-see"


def test_the_file_is_accepted(start_server: StartContainer) -> None:
    """As it is, but for the host; on-chain, prices are checked, too."""
    (known,) = json.loads(RUNNERS.read_text())["runners"]
    with run_orchestrator(onchain=True) as orchestrator, start_server() as server:
        (told,) = configure(orchestrator, entry(server))
        assert (told["label"], told["healthy"]) == (known["label"], True)
        (found,) = discovered(orchestrator)
        assert (found["app"], found["mode"]) == (APP, MODE)
        assert found["capacity"] == known["capacity"] == server.metric("byoc_capacity")
    settings = read()[ContainerSettings]
    host = known["runner_url"].removesuffix(f":{settings.port}")
    assert host == "http://my-model"
    assert known["health_url"] == f"{host}:{settings.ops_port}/health"


def test_nobody_is_sent_before_the_model_is_loaded(
    start_server: StartContainer, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    load = {"CHAOS_LOAD": "wait_for_file", "CHAOS_FILE": str(release)}
    with (
        run_orchestrator(**QUICK) as orchestrator,
        start_server(ready=False, CHAOS_MARK=str(tmp_path / "mark"), **load) as server,
    ):
        (told,) = configure(orchestrator, entry(server))
        assert not told["healthy"]
        assert discovered(orchestrator) == []
        release.touch()
        eventually(lambda: discovered(orchestrator), "ready at the next poll")


def test_stopped_runner_fails_a_poll(start_server: StartContainer) -> None:
    with run_orchestrator(**QUICK) as orchestrator, start_server() as server:
        configure(orchestrator, entry(server))
        assert discovered(orchestrator)
        assert server.stop() == 0
        gone(orchestrator)


def test_draining_container_waits_for_a_poll(start_server: StartContainer) -> None:
    """Only an orchestrator's poll counts, not the container's own health check."""
    with start_server(BYOC_DRAIN_SECONDS="60") as server:
        assert server.ops.get("/health").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not healthy(server), "not healthy")
        assert server.process.poll() is None
        assert server.jobs.get("/health").json() == {"status": "draining"}
        assert server.ops.get("/health").json() == {"status": "draining"}
        assert server.wait_exit() == 0


def healthy(server: Container) -> bool:
    """As a health check finds it."""
    environment = os.environ | {"BYOC_OPS_PORT": str(server.ops.base_url.port)}
    command = [sys.executable, "-m", f"{PACKAGE}.runtime.ops.probe", "/health"]
    return subprocess.call(command, env=environment) == 0


def test_container_that_was_never_polled_does_not_wait(start_server: StartContainer) -> None:
    with start_server(ready=False, BYOC_DRAIN_SECONDS="60") as server:
        eventually(lambda: healthy(server), "healthy")
        assert server.stop() == 0
        assert not server.events("waiting for a poll of /health")


def test_nobody_waits_for_a_poll_for_long(start_server: StartContainer) -> None:
    with start_server(BYOC_DRAIN_SECONDS="60") as server:
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started > POLLED_SECONDS
        assert len(server.events("waiting for a poll of /health")) == 1
        assert [it["in_time"] for it in server.events("stopped")] == [True]


def test_a_token_is_asked_for_if_it_is_set(start_server: StartContainer) -> None:
    """On every route of jobs, of whoever passes on what callers send."""
    with run_orchestrator() as orchestrator, start_server(BYOC_AUTH_TOKEN=TOKEN) as server:
        configure(orchestrator, entry(server))
        for method, path in routes(server):
            for header in ("", TOKEN, f"Bearer {TOKEN}x"):
                headers = {"Authorization": header}
                assert server.jobs.request(method, path, headers=headers).status_code == 401
            right = {"Authorization": f"Bearer {TOKEN}"}
            answer = server.jobs.request(method, path, content=b"{", headers=right)
            assert answer.status_code != 401
        assert discovered(orchestrator)
        assert TOKEN not in server.log() + server.ops.get("/metrics").text


def test_without_a_token_nobody_is_asked_for_one(start_server: StartContainer) -> None:
    """The container registers nowhere, and says so to whoever expects it."""
    url = "https://127.0.0.1:8935"
    with start_server(BYOC_ORCHESTRATOR_URL=url, BYOC_ORCHESTRATOR_SECRET="a") as server:
        for method, path in routes(server):
            assert server.jobs.request(method, path, content=b"{").status_code != 401
        (warning,) = server.events("unknown settings")
        assert warning["names"] == ["BYOC_ORCHESTRATOR_SECRET", "BYOC_ORCHESTRATOR_URL"]
        assert server.metric("byoc_registered") is None


def routes(server: Container) -> list[tuple[str, str]]:
    """Of jobs: method and path."""
    paths = server.jobs.get("/openapi.json").json()["paths"]
    return [(method, path) for path in paths if path != "/health" for method in paths[path]]
