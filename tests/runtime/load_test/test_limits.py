"""The limits that load tests of a real container find."""

from pathlib import Path

from running import report, run_load_test, verdicts
from workload import CAPACITY, PATIENT, SLOW, sample

PLAIN, SLOW_MODEL = ("--set=BYOC_MODEL=workload:Plain", "--set=BYOC_MODEL=workload:Slow")


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


def test_the_containers_own_capacity_is_the_limit(tmp_path: Path) -> None:
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
