"""What load tests find out by the pictures that come back."""

from pathlib import Path

from load_test.report import Level
from running import report, run_load_test
from workload import PATIENT, sample


def failing(folder: Path, model: str, *options: object) -> Level:
    """The one level that was asked for, which does not hold with this model."""
    chosen = (*PATIENT, f"--set=BYOC_MODEL=workload:{model}", *options)
    code, words = run_load_test(folder, sample(folder), *chosen)
    (level,) = report(folder).levels
    assert code == 1, words
    return level


def test_one_picture_of_another_session_fails_the_level(tmp_path: Path) -> None:
    level = failing(tmp_path, "Smuggler", "--sessions", 2, "--seconds", 20)
    assert level.frames.foreign == 1
    assert (level.verdict, level.limit) == ("not met", "errors")
    assert level.frames.missing <= 1


def test_pictures_that_stand_still_are_seen(tmp_path: Path) -> None:
    """Each frame comes back in time, but nine of ten show the one before."""
    level = failing(tmp_path, "Freezer", "--sessions", 1, "--seconds", 10)
    assert (level.verdict, level.limit) == ("not met", "latency")
    assert level.frames.missing >= 0.8 * level.frames.scheduled
    assert level.frames.repeated
    assert level.frames.repeated >= level.frames.missing
    assert level.frames.frozen_ms
    assert level.frames.frozen_ms > 1500
    assert level.frames.foreign == 0


def test_where_the_counter_is_painted_over_time_stamps_tell(tmp_path: Path) -> None:
    model = "--set=BYOC_MODEL=workload:Painter"
    code, words = run_load_test(tmp_path, sample(tmp_path), *PATIENT, model, "--sessions", 1)
    found = report(tmp_path)
    assert code == 0, words
    assert found.age_by == "time stamp"
    assert any("counter" in note for note in found.notes)
    for level in found.levels:
        assert level.frames.on_time == level.frames.scheduled > 0
        assert level.frames.foreign is None
        assert level.frames.frozen_ms is None
