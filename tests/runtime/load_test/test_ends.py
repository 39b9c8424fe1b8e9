"""What becomes of load tests that are late, or are ended."""

import signal
import time
from pathlib import Path

import pytest

from emulator.container import DEADLINE_SECONDS, eventually
from running import load_test, report, verdicts
from workload import PATIENT, sample

PLAIN = "--set=BYOC_MODEL=workload:Plain"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


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
def test_interruption_loses_only_one_level(tmp_path: Path, number: int, code: int) -> None:
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
