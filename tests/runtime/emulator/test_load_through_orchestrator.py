"""The load test as a caller who comes through an orchestrator."""

import subprocess
import sys
from pathlib import Path

from emulator.container import DEADLINE_SECONDS, Container
from harness import ROOT
from known import run_known_server
from load_test.report import Report
from orchestrator.server import OrchestratorServer, run_orchestrator

TOKEN = "a token"
PATIENT = ("--limit-ms=60000", "--seconds=4")


def run_load_test(
    orchestrator: OrchestratorServer, server: Container, folder: Path, *options: str
) -> tuple[int, str]:
    """The exit code and the words."""
    way = (f"--orchestrator={orchestrator.url}", f"--ops={server.ops.base_url}", f"--token={TOKEN}")
    command = [sys.executable, "-m", "load_test", *way, *PATIENT, *options, f"--report={folder}"]
    with (folder.parent / "words").open("w+") as words:
        process = subprocess.Popen(command, cwd=ROOT, stdout=words, stderr=words)
        try:
            code = process.wait(2 * DEADLINE_SECONDS)
        finally:
            process.kill()
        words.seek(0)
        return code, words.read()


def test_its_sessions_are_the_orchestrators(tmp_path: Path) -> None:
    """Two hold; a third one is refused, because the container has room for two."""
    settings = {"BYOC_CAPACITY": "2", "BYOC_AUTH_TOKEN": TOKEN, "BYOC_MAX_LATENCY_SECONDS": "60"}
    with (
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, **settings) as server,
    ):
        code, words = run_load_test(orchestrator, server, tmp_path / "load", "--most=3")
        assert code == 0, words
        found = Report.model_validate_json((tmp_path / "load" / "report.json").read_text())
        levels = [(each.sessions, each.verdict, each.limit) for each in found.levels]
        assert levels == [
            (1, "met", None),
            (2, "met", None),
            (3, "not met", "capacity"),
            (2, "met", None),
        ]
        assert found.recommended == 2
        assert server.metric("byoc_sessions_active") == 0


def test_an_orchestrator_that_lets_nobody_in(tmp_path: Path) -> None:
    """It is not the one that knows the container."""
    with (
        run_orchestrator() as another,
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, BYOC_AUTH_TOKEN=TOKEN) as server,
    ):
        code, words = run_load_test(another, server, tmp_path / "load")
    assert code == 2
    assert words.splitlines()[-1].startswith("the warm-up failed, because one ")
    assert "Traceback" not in words
