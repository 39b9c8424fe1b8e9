"""What load tests of a real container measure, show and refuse."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT
from load_test.report import Report
from running import report, run_load_test, verdicts
from terminals import on_a_terminal
from workload import PATIENT, sample

PLAIN = "--set=BYOC_MODEL=workload:Plain"


def test_one_level_is_asked_for_and_met(tmp_path: Path) -> None:
    """All figures are there, as the schema defines them."""
    code, words = run_load_test(tmp_path, sample(tmp_path), *PATIENT, PLAIN, "--sessions", 2)
    assert code == 0, words
    assert verdicts(tmp_path) == [(2, False, "met", None), (2, True, "met", None)]
    first, confirmation = report(tmp_path).levels
    assert (first.seconds, confirmation.seconds) == (4, 12)
    assert confirmation.frames.limit_ms == 0.9 * first.frames.limit_ms
    for level in (first, confirmation):
        assert level.frames.scheduled == level.frames.on_time > 0
        assert len(level.timeline) == level.seconds
        assert level.health.polls > 0
        assert level.health.misses == []
        assert level.memory
        assert level.memory.peak_bytes >= level.memory.idle_bytes > 0
        assert level.processes.main_cores
        assert level.processes.model_cores is not None
        assert level.processes.model_resident_bytes


def test_on_a_terminal_a_table_grows(tmp_path: Path) -> None:
    """What is shown at the end is all that was."""
    options = [sample(tmp_path), *PATIENT, PLAIN, "--sessions=1", f"--report={tmp_path}"]
    code, words = on_a_terminal("-m", "load_test", *options, columns=200)
    assert code == 0
    for part in ("warming up", "1 at once", "confirming 1 at once", "BYOC_CAPACITY=1"):
        assert part in words


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://127.0.0.1:{port}"], "ops port does not answer at http://127.0.0.1:8001"),
        (
            ["--url", "http://127.0.0.1:1", "--ops", "http://127.0.0.1:{port}"],
            "http://127.0.0.1:{port}",
        ),
        (["--url", "http://[::1]:1"], "ops port does not answer at http://[::1]:8001"),
        (["--set", "BYOC_PORT=high"], "BYOC_PORT='high'"),
        (["--set", "PORT=1"], "'PORT=1': must be BYOC_...=VALUE or MODEL_...=VALUE"),
        (["--image", "a", "--url", "http://b"], "give one of --image, --url and --orchestrator"),
        (["--headroom", "2"], "--headroom 2"),
        (["--most", "0"], "'0': must be a whole number, 1 or more"),
        (["--limit-ms", "nan"], "--limit-ms nan"),
        (["--memory-gib", "-1"], "--memory-gib -1.0: must be more than 0"),
        (["--url", "127.0.0.1:8000"], "must be an address like http://127.0.0.1:8000"),
        (["--on-time-share", "95"], "--on-time-share 95.0: must be less than or equal to 1"),
        (["nowhere"], "nowhere: No such file or directory"),
    ],
)
def test_what_can_not_be_measured_is_told(tmp_path: Path, options: list[str], words: str) -> None:
    """In a line, with the name of what is to be mended."""
    port = str(free_port())
    given = [option.replace("{port}", port) for option in options]
    code, told = run_load_test(tmp_path, *given)
    assert code == 2
    assert words.replace("{port}", port) in told
    assert "Traceback" not in told


def test_a_model_that_fails_is_told(tmp_path: Path) -> None:
    code, words = run_load_test(
        tmp_path, sample(tmp_path), *PATIENT, "--set=BYOC_MODEL=workload:Nothing"
    )
    assert code == 2
    assert words.startswith("the container ended with exit code 1: ")
    assert "Traceback" not in words


def test_every_figure_has_its_definition() -> None:
    command = [sys.executable, "-m", "load_test", "--schema"]
    schema = json.loads(subprocess.check_output(command, cwd=ROOT))
    assert schema == Report.model_json_schema()
    assert schema["properties"]["version"]["const"] == 1
    undefined = [
        (title, name)
        for title, part in [("Report", schema), *schema["$defs"].items()]
        for name, figure in part.get("properties", {}).items()
        if "description" not in figure
        and "$ref" not in figure
        and "const" not in figure
        and name not in ("timeline", "started")
    ]
    assert undefined == []
