"""The load test as a caller who comes through an orchestrator."""

from pathlib import Path

from emulator.container import Container
from known import run_known_server
from orchestrator.server import OrchestratorServer, run_orchestrator
from running import report, run_load_test, verdicts

TOKEN = "a token"
PATIENT = ("--limit-ms=60000", "--seconds=4")


def through(orchestrator: OrchestratorServer, server: Container) -> list[str]:
    """Options of the load test: it goes through this one, to this container."""
    way = [f"--orchestrator={orchestrator.url}", f"--ops={server.ops.base_url}"]
    return [*way, f"--token={TOKEN}", *PATIENT]


def test_its_sessions_are_the_orchestrators(tmp_path: Path) -> None:
    """Two hold; a third one is refused, because the container has room for two."""
    settings = {"BYOC_CAPACITY": "2", "BYOC_AUTH_TOKEN": TOKEN, "BYOC_MAX_LATENCY_SECONDS": "60"}
    with (
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, **settings) as server,
    ):
        folder = tmp_path / "load"
        code, words = run_load_test(folder, *through(orchestrator, server), "--most=3")
        assert code == 0, words
        assert verdicts(folder) == [
            (1, False, "met", None),
            (2, False, "met", None),
            (3, False, "not met", "capacity"),
            (2, True, "met", None),
        ]
        assert report(folder).recommended == 2
        assert server.metric("byoc_sessions_active") == 0


def test_an_orchestrator_that_lets_nobody_in(tmp_path: Path) -> None:
    """It is not the one that knows the container."""
    with (
        run_orchestrator() as another,
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, BYOC_AUTH_TOKEN=TOKEN) as server,
    ):
        code, words = run_load_test(tmp_path / "load", *through(another, server))
    assert code == 2
    assert words.splitlines()[-1].startswith("the warm-up with one ")
    assert "Traceback" not in words
