"""What the checklist can be put to, and what it says when that is not there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from breaking import findings, read_report, run_checklist
from checklist.items import ALL
from emulator.container import DEADLINE_SECONDS, eventually, run_container
from harness import ROOT


def test_one_that_runs_is_tried_up_to_its_own_capacity(tmp_path: Path) -> None:
    """And not flooded, stopped or made to fail."""
    with run_container(tmp_path, BYOC_CAPACITY="1") as container:
        urls = (f"--url={container.jobs.base_url}", f"--ops={container.ops.base_url}")
        code, words = run_checklist(tmp_path / "report", *urls)
        assert code == 0, words
        assert container.errors("bad_request") == 1
        assert container.metric("byoc_sessions_active") == 0
    assert read_report(tmp_path / "report").capacity == 1
    found = findings(tmp_path / "report")
    elsewhere = {item.id for item in ALL if item.target != "running"}
    assert {found[item] for item in elsewhere} == {"skipped"}
    assert found["health-under-load"] == found["capacity-measured"] == "passed"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url=http://127.0.0.1:9"], "there is no answer from http://127.0.0.1:8001/health"),
        (["--url=http://127.0.0.1:9", "--ops=http://127.0.0.1:9"], "(see --ops)"),
        (["--image=there-is-no-such-image"], "nothing was tested: "),
        (["--only=nothing"], "nothing: no such item, see --list"),
        (["--image=an-image", "--url=http://127.0.0.1:9"], "give one of --image and --url"),
        (["--capacity=0"], "must be a whole number, 1 or more"),
    ],
)
def test_what_can_not_be_tested(options: list[str], words: str, tmp_path: Path) -> None:
    code, told = run_checklist(tmp_path, *options)
    assert code == 2, told
    assert words in told
    assert "Traceback" not in told
    assert not (tmp_path / "report.json").exists()


def test_ctrl_c_leaves_what_was_found_and_no_container(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "checklist", "--quick", f"--report={tmp_path}"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ, start_new_session=True) as process:
        report = tmp_path / "report.json"
        eventually(report.exists, "the first item has ended")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert read_report(tmp_path).outcome == "unfinished"
