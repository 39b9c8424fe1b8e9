"""Load tests of a real container, with models whose limits are known."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emulator.container import DEADLINE_SECONDS, eventually
from harness import ROOT
from load_test.report import Report
from running import load_test, report, run_load_test, verdicts
from workload import CAPACITY, PATIENT, SLOW, sample

PLAIN, SLOW_MODEL = ("--set=BYOC_MODEL=workload:Plain", "--set=BYOC_MODEL=workload:Slow")


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_no_more_is_recommended_than_the_model_can_do(tmp_path: Path) -> None:
    """However slow the machine is: then it is less, or nothing can be said."""
    code, words = run_load_test(
        tmp_path, sample(tmp_path), *SLOW, SLOW_MODEL, "--most", 2 * CAPACITY, "--seconds", 10
    )
    found = report(tmp_path)
    assert found.levels, words
    for level in found.levels:
        assert level.verdict != "met" or level.sessions <= CAPACITY, level.reasons
        assert level.frames.scheduled > 0
    assert (found.recommended or 0) <= CAPACITY
    assert code == (0 if found.recommended else 2 if found.outcome == "invalid" else 1), words
    if found.recommended:
        chosen = [each for each in found.levels if each.confirmation and each.verdict == "met"]
        assert [each.sessions for each in chosen] == [found.recommended]
        assert f"BYOC_CAPACITY={found.recommended}" in words
        assert found.limit == "latency"


def test_the_containers_own_capacity_binds(tmp_path: Path) -> None:
    """Every level is told in a line of its own, and a sentence says what to do."""
    settings = ("--set=BYOC_CAPACITY=2", PLAIN, "--most", 4)
    code, words = run_load_test(tmp_path, sample(tmp_path), *PATIENT, *settings)
    assert code == 0, words
    assert verdicts(tmp_path) == [
        (1, False, "met", None),
        (2, False, "met", None),
        (4, False, "not met", "capacity"),
        (3, False, "not met", "capacity"),
        (2, True, "met", None),
    ]
    found = report(tmp_path)
    assert (found.outcome, found.limit, found.recommended) == ("limit found", "capacity", 2)
    lines = words.splitlines()
    told = [line for line in lines if line[:1].isdigit() and line.count("  ") > 10]
    assert len(told) == len(found.levels)
    assert found.sentence in lines
    assert (tmp_path / "report.md").read_text().count("\n| ") >= len(found.levels)
    assert found.sentence.split(":")[0] in (tmp_path / "report.html").read_text()


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


def test_a_late_load_test_says_nothing(tmp_path: Path) -> None:
    """It is stopped for 300 ms again and again, as on a machine that is too small for it."""
    options = ("--limit-ms", 1000, "--seconds", 4, PLAIN, "--most", 4)
    with load_test(tmp_path, sample(tmp_path), *options) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.7)
    assert process.returncode == 2
    found = report(tmp_path)
    assert (found.outcome, found.recommended) == ("invalid", None)
    assert verdicts(tmp_path) == [(1, False, "invalid", None)] * 2
    assert min(level.generator_late_share for level in found.levels) > 0.1
    assert "late" in found.sentence


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_what_ends_it_costs_one_level(tmp_path: Path, number: int, code: int) -> None:
    """The levels that ran are there, and the container ends, too."""
    with load_test(tmp_path, sample(tmp_path), *PATIENT, PLAIN, "--most", 4) as process:
        written = (tmp_path / "report.md").exists
        eventually(lambda: written() or process.poll() is not None, "the first level")
        (container,) = children(process.pid)
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == code
        eventually(lambda: not is_running(container), "the container's end")
    found = report(tmp_path)
    assert found.outcome == "unfinished"
    assert [level.sessions for level in found.levels][:1] == [1]
    assert found.sentence
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "report.md").exists()


def test_on_a_terminal_a_table_grows(tmp_path: Path) -> None:
    """What is shown at the end is all that was."""
    ours, its = pty.openpty()
    options = [str(sample(tmp_path)), *PATIENT, PLAIN, "--sessions=1", f"--report={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "load_test", *options],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "COLUMNS": "200"},
        cwd=ROOT,
        stdout=its,
    )
    os.close(its)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # the terminal is gone with the process
        pass
    assert process.wait(DEADLINE_SECONDS) == 0
    words = shown.decode()
    for part in ("warming up", "1 at once", "confirming 1 at once", "BYOC_CAPACITY=1"):
        assert part in words


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://127.0.0.1:{port}"], "ops port can't be asked at http://127.0.0.1:8001"),
        (
            ["--url", "http://127.0.0.1:1", "--ops", "http://127.0.0.1:{port}"],
            "http://127.0.0.1:{port}",
        ),
        (["--url", "http://[::1]:1"], "ops port can't be asked at http://[::1]:8001"),
        (["--set", "BYOC_PORT=high"], "BYOC_PORT='high'"),
        (["--set", "PORT=1"], "'PORT=1': must be BYOC_NAME=VALUE"),
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


def test_a_model_that_crashes_is_no_lack_of_room(tmp_path: Path) -> None:
    """Whoever is refused while it restarts is refused because of that."""
    model = "--set=BYOC_MODEL=workload:Crashing"
    options = (*PATIENT, model, "--sessions", 1, "--seconds", 12)
    code, words = run_load_test(tmp_path, sample(tmp_path), *options)
    (level,) = report(tmp_path).levels
    assert code == 1, words
    assert (level.verdict, level.limit) == ("not met", "errors")
    assert level.restarts > 0
    assert level.errors["worker_crash"] > 0
    assert level.processes.model_cores is not None
    assert level.processes.model_cores >= 0


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
