"""Every distinct program passes its own checks, and every combination is covered by all suites."""

import pytest

from harness import OPTIONS, Record, combinations
from programs.conftest import Exercised
from programs.suites import (
    DEPENDS_ON,
    Run,
    all_pairs,
    choose_runs,
    folder,
    modules,
    pairs,
    uncovered,
)

MOST_PROGRAMS = 72
RUNS = choose_runs()


def test_programs_are_few(exercised: Exercised, record_property: Record) -> None:
    record_property("distinct programs", f"{len(exercised.owners)} of at most {MOST_PROGRAMS}")
    assert len(exercised.owners) <= MOST_PROGRAMS


@pytest.mark.parametrize("check", ["lint", "tests", "python", "dependencies"])
def test_every_program_passes(check: str, exercised: Exercised) -> None:
    failures = [
        f"{program.name}\n{outcome.failures[check]}"
        for program, outcome in exercised.owners
        if check in outcome.failures
    ]
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)


@pytest.mark.parametrize("check", ["types", "tests"])
@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_suite_passes(run: Run, check: str, exercised: Exercised) -> None:
    (outcome,) = (outcome for each, outcome in exercised.suites if each == run)
    if check in outcome.failures:
        where = " ".join(run.answers.values())
        pytest.fail(f"in {where}\n{outcome.failures[check]}", pytrace=False)


def test_every_combination_is_covered(exercised: Exercised, record_property: Record) -> None:
    """By the owner's tests of its program, and by a run of each suite that has tests for it."""
    suites = [*enumerate(exercised.suites)]
    for number, (run, outcome) in suites:
        where = " ".join(run.answers.values())
        record_property(f"  suite {number}: {run.name}", f"{outcome} in {where}")
    for program, outcome in exercised.owners:
        answers = program.repositories[0].answers
        by = [str(number) for number, (run, _) in suites if run.covers(answers)]
        record_property(f"  {program.name}", f"{outcome}; suites {' '.join(by)}")
    passed = [
        repository.answers
        for program, outcome in exercised.owners
        if not outcome.failures
        for repository in program.repositories
    ]
    assert [answers for answers in combinations() if answers not in passed] == []
    assert uncovered(run for run, outcome in exercised.suites if not outcome.failures) == []


def test_uncovered_combination_is_reported() -> None:
    """Without any one of the runs some combination has a suite that is not run."""
    assert uncovered(RUNS) == []
    for run in RUNS:
        assert uncovered(other for other in RUNS if other != run), run.name


def test_all_pairs_of_choices_meet(record_property: Record) -> None:
    met = {pair for run in RUNS for pair in pairs(run.answers)}
    record_property("pairs of choices that meet", f"{len(met)} in {len(RUNS)} runs of suites")
    assert all_pairs() - met == set()


@pytest.mark.parametrize("suite", DEPENDS_ON)
def test_a_suite_differs_by_what_it_depends_on_alone(suite: str) -> None:
    conditions = [each.name for each in folder(suite).glob("_only/*")]
    named = {part.split("=")[0] for name in conditions for part in name.split("+")}
    assert named <= set(DEPENDS_ON[suite])
    assert named <= set(OPTIONS)
    assert any(modules(suite, answers) for answers in combinations())
