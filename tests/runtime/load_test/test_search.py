"""Which levels are run, and what is recommended: on servers whose capacity is known."""

from collections.abc import Callable
from random import Random

import pytest

from load_test.conclusion import conclude
from load_test.report import Level, Report
from load_test.search import Plan, exit_code, fit, next_level
from simulated import (
    FITS,
    GIB,
    HEADROOM,
    MEMORY_MODELS,
    MOST,
    NOISY,
    OBJECTIVES,
    Age,
    Peak,
    Server,
    again_above,
    bound,
    cliff,
    fits,
    highest,
    in_time,
    new_report,
    noisy,
    queue,
    search,
    slope,
    tires,
    too_much,
)


def ran(report: Report) -> list[Plan]:
    return [Plan(level.sessions, level.confirmation) for level in report.levels]


def confirmed(report: Report) -> Level:
    """The recommendation is a level that ran as a confirmation, and met the objectives."""
    [level] = [each for each in report.levels if each.confirmation and each.verdict == "met"]
    assert level.sessions == report.recommended
    assert exit_code(report) == 0
    return level


@pytest.mark.parametrize("most", [64, 100])
def test_a_cliff_is_found_exactly(most: int) -> None:
    for capacity in range(1, most + 1):
        report = search(Server(cliff(capacity)), most)
        assert confirmed(report).sessions == report.highest == capacity
        assert len(report.levels) <= bound(capacity), capacity
        assert report.outcome == ("limit found" if capacity < most else "no limit found")
        assert report.limit == ("latency" if capacity < most else None)


def test_levels_are_doubled_and_bisected() -> None:
    report = search(Server(cliff(5)))
    assert ran(report) == [*((sessions, False) for sessions in (1, 2, 4, 8, 6, 5)), (5, True)]
    assert search(Server(), most=11).levels[-2].sessions == 11


@pytest.mark.parametrize("shape", [slope, queue])
def test_latency_that_rises_is_found_to_one_session(shape: Callable[[int], Age]) -> None:
    """With headroom: what is recommended is late only by less than the tightened limit."""
    for capacity in range(1, MOST):
        report = search(Server(shape(capacity)))
        true = highest(in_time(shape(capacity)))
        assert abs(report.highest - true) <= 1
        assert len(report.levels) <= bound(true)
        if true == 1:
            assert report.outcome == "unstable"  # with headroom not even one holds
            continue
        assert confirmed(report).sessions <= true
        assert confirmed(report).frames.limit_ms == 450
        assert report.limit == "latency"


@pytest.mark.parametrize(("shape", "capacity"), NOISY)
def test_noise_changes_the_result_by_one_session_at_most(
    shape: Callable[[int], Age], capacity: int
) -> None:
    true = highest(in_time(shape(capacity)))
    for seed in range(20):
        report = search(Server(noisy(shape(capacity))), seed=seed)
        assert abs(report.highest - true) <= 1
        assert confirmed(report).sessions <= true
        assert len(report.levels) <= bound(report.highest)


@pytest.mark.parametrize("capacity", range(1, 25))
def test_what_holds_again_above_a_failure_is_not_recommended(capacity: int) -> None:
    """Unless the failure lies between the levels that ran: nobody sees that."""
    for gap in range(1, 10):
        report = search(Server(again_above(capacity, gap)))
        failures = [level.sessions for level in report.levels if level.verdict == "not met"]
        assert confirmed(report).sessions < min(failures)
        assert len(report.levels) <= bound(report.highest)


def test_always_and_never() -> None:
    always, never = search(Server(), most=64), search(Server(cliff(0)))
    assert (always.outcome, always.recommended, always.limit) == ("no limit found", 64, None)
    assert always.sentence == "64 sessions hold, the most that was tried: no limit was found."
    assert len(always.levels) == 8
    assert (never.outcome, never.highest, never.recommended) == ("not met", 0, None)
    assert never.sentence == (
        "1 session does not hold: session 1 had 0 % of its frames on time in its worst window "
        "(objective: 95 % within 500 ms), so the limit is latency."
    )
    assert (len(never.levels), exit_code(never)) == (1, 1)


def test_an_invalid_level_is_run_once_more() -> None:
    late = {Plan(8, False): 1, Plan(12, False): 1, Plan(12, True): 1}
    once = search(Server(cliff(12), invalid=dict(late)))
    assert confirmed(once).sessions == 12
    assert [ran(once).count(plan) for plan in late] == [2, 2, 2]
    unconfirmed = search(Server(cliff(12), invalid={Plan(12, True): 2}))
    assert (unconfirmed.outcome, unconfirmed.highest) == ("invalid", 12)
    assert unconfirmed.recommended is None
    twice = search(Server(cliff(12), invalid={Plan(8, False): 2}))
    assert [level.sessions for level in twice.levels] == [1, 2, 4, 8, 8]
    assert (twice.outcome, twice.highest, twice.recommended) == ("invalid", 4, None)
    assert exit_code(twice) == 2
    assert twice.sentence == (
        "The result with 8 sessions is invalid, because the load test itself was late for 3.1 % of "
        "the level (allowed: 1 %). 4 sessions met the objectives once."
    )
    assert twice.advice == ["Run the load test again from another machine."]


def test_a_confirmation_that_fails_is_tried_lower_once() -> None:
    report = search(Server(tires(20)), most=20)
    assert ran(report)[-2:] == [(20, True), (18, True)]
    assert (report.outcome, report.highest, report.recommended) == ("unstable", 20, None)
    assert exit_code(report) == 1
    assert report.sentence == (
        "20 sessions met the objectives once, but 18 sessions did not when run for three times as "
        "long with 10 % headroom: session 1 had 0 % of its frames on time in its worst window "
        "(objective: 95 % within 450 ms), so the limit is latency."
    )
    one = search(Server(tires(20)), most=1)
    assert (ran(one), one.outcome) == ([(1, False), (1, True)], "unstable")
    for most in range(2, 11):  # of few sessions, one less
        assert ran(search(Server(tires(20)), most))[-1] == (most - 1, True)


def test_the_lower_confirmation_names_what_failed_above_it() -> None:
    report = search(Server(slope(10)), most=10)
    assert ran(report)[-2:] == [(10, True), (9, True)]
    assert (report.outcome, report.recommended, report.limit) == ("limit found", 9, "latency")
    assert report.sentence.startswith(
        "9 sessions hold: with 10, for three times as long with 10 % headroom, session 1 had "
    )


def test_only_what_was_asked_for_is_run() -> None:
    held = search(Server(cliff(12)), only=12)
    assert ran(held) == [(12, False), (12, True)]
    assert (held.outcome, held.recommended, exit_code(held)) == ("no limit found", 12, 0)
    assert held.sentence == "12 sessions hold, all that was asked for: no limit was found."
    failed = search(Server(cliff(12)), only=13)
    assert ran(failed) == [(13, False)]
    assert (failed.outcome, failed.recommended, exit_code(failed)) == ("not met", None, 1)
    once = search(Server(tires(20)), only=13)
    assert ran(once) == [(13, False), (13, True)]
    assert (once.outcome, once.recommended, exit_code(once)) == ("unstable", None, 1)


def test_the_report_agrees_after_each_level() -> None:
    """So that one that was interrupted says how far it came."""
    whole, part = search(Server(cliff(5))), new_report()
    assert (part.outcome, exit_code(part)) == ("unfinished", 2)
    held = []
    for level, plan in zip(whole.levels, ran(whole), strict=True):
        assert next_level(part) == plan
        part.levels.append(level)
        conclude(part, "frame")
        held.append(part.highest)
        if level is not whole.levels[-1]:
            assert (part.outcome, part.recommended, exit_code(part)) == ("unfinished", None, 2)
            assert part.sentence.startswith(f"Not finished: {part.highest} session")
    assert held == [1, 2, 4, 4, 4, 5, 5]
    assert (next_level(part), part) == (None, whole.model_copy(update={"started": part.started}))


@pytest.mark.parametrize("model", MEMORY_MODELS)
def test_no_more_is_recommended_than_fits(model: Callable[[Random], Peak]) -> None:
    for seed in range(200):
        peak = model(Random(seed))
        true = highest(fits(peak))
        report = search(Server(peak=peak))
        assert report.highest == true
        assert len(report.levels) <= bound(true)
        if true:
            assert peak(confirmed(report).sessions) <= FITS * (1 - HEADROOM)
            assert report.recommended == true
        assert report.limit == ("memory" if true < MOST else None)


def test_least_squares_would_recommend_too_much() -> None:
    found = {model.__name__: too_much(model, 200) for model in MEMORY_MODELS}
    assert all(ours == 0 for _, ours in found.values())
    assert found["convex"][0] > 100
    assert found["steps"][0] > 40


def test_the_line_through_the_memory_is_a_guess() -> None:
    """It is told beside what ran, and takes no level in which a session had no room."""
    report = search(Server(peak=lambda sessions: GIB * (2.1 + 0.4 * sessions)))
    assert report.memory_fit is not None
    assert report.memory_fit.sessions == report.recommended == 48
    assert report.memory_fit.per_session_bytes == pytest.approx(0.4 * GIB, rel=0.01)
    refused = search(Server(peak=lambda sessions: GIB * (1 + min(sessions, 3)), room=3))
    assert refused.memory_fit is not None
    assert refused.memory_fit.per_session_bytes == GIB
    for levels in ([], report.levels[:1], search(Server()).levels):
        assert fit(levels, OBJECTIVES) is None


def test_what_to_set_and_what_to_change() -> None:
    report = search(Server(peak=lambda sessions: GIB * (3.1 + 1.5 * sessions)))
    assert report.advice == [
        "Set BYOC_CAPACITY=12.",
        "At the orchestrator, set a capacity of 12 and -maxSessions to 12 or more.",
        "Memory: 3.1 GiB when idle and 12 sessions of about 1.5 GiB each are 21.1 GiB of the "
        "24 GiB available; 10 % is kept free.",
        "For more sessions: lower the resolution, the batch size or the precision of the model, or "
        "take a device with more memory.",
    ]
    assert report.sentence == (
        "12 sessions hold: with 13, 22.6 GiB of memory were used (allowed: 21.6 GiB; 24 GiB "
        "available, 10 % kept free), so the limit is memory."
    )
    refused = search(Server(room=3))
    assert refused.sentence == (
        "3 sessions hold: with 4, lack of capacity caused 1 refusal, so the limit is the "
        "container's own capacity."
    )
    assert refused.advice[-1].startswith("For more sessions: raise BYOC_CAPACITY")
    assert "MAX_PARALLEL" in search(Server(cliff(3))).advice[-1]
