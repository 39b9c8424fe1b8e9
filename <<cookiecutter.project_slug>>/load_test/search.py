"""Chooses the next level, and ends the search.

It doubles the sessions until a level misses the objectives, then bisects. It runs the highest level
that met them again, as a confirmation; if that fails, it confirms a lower one, once. For a capacity
of N this takes at most 2 log2(N) + 4 levels, not counting invalid ones, which it runs again.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from .judge import OUT_OF_MEMORY, usable
from .report import Fit, Level, Objectives, Outcome, Report


class Plan(NamedTuple):
    """The next level."""

    sessions: int
    confirmation: bool


def next_level(report: Report) -> Plan | None:
    """None at the end. It depends only on the levels so far, `most`, `only` and the objectives."""
    plans = [(Plan(each.sessions, each.confirmation), each.verdict) for each in report.levels]
    if plans and plans[-1][1] == "invalid":
        return plans[-1][0] if plans.count(plans[-1]) == 1 else None
    low, high = bracket(report.levels)
    if not plans:
        return Plan(report.only or 1, confirmation=False)
    if high is None and low < report.most and not report.only:
        return Plan(min(2 * low, report.most), confirmation=False)
    if high is not None and high - low > 1 and not report.only:
        return Plan((low + high) // 2, confirmation=False)
    confirmed = [verdict for plan, verdict in plans if plan.confirmation and verdict != "invalid"]
    if not confirmed and low:
        return Plan(low, confirmation=True)
    if confirmed == ["not met"] and low > 1 and not report.only:
        lower = min(low - 1, math.floor(low * (1 - report.objectives.headroom)))
        return Plan(max(1, lower), confirmation=True)
    return None


def bracket(levels: Sequence[Level]) -> tuple[int, int | None]:
    """The highest level that met the objectives (0 for none) below the lowest that did not."""
    ran = {each.sessions: each.verdict for each in levels if not each.confirmation}
    high = min((each for each, verdict in ran.items() if verdict == "not met"), default=None)
    met = [each for each, verdict in ran.items() if verdict == "met"]
    return max((each for each in met if high is None or each < high), default=0), high


def recommended(levels: Sequence[Level]) -> Level | None:
    """The confirmation that met the objectives."""
    return next((each for each in levels if each.confirmation and each.verdict == "met"), None)


def outcome(report: Report) -> Outcome:
    if next_level(report):
        return "unfinished"
    if report.levels[-1].verdict == "invalid":
        return "invalid"
    if not bracket(report.levels)[0]:
        return "not met"
    if not recommended(report.levels):
        return "unstable"
    failed = any(level.verdict == "not met" for level in report.levels)
    return "limit found" if failed else "no limit found"


def exit_code(report: Report) -> int:
    """0: a number is recommended; 1: what was tried does not hold; 2: the result is invalid."""
    if report.recommended:
        return 0
    return 1 if report.outcome in ("not met", "unstable") else 2


def fit(levels: Sequence[Level], objectives: Objectives) -> Fit | None:
    """A line through the memory of the levels in which every session fitted."""
    told = [
        (level.sessions, level.memory)
        for level in levels
        if level.memory and level.verdict != "invalid"
        if not level.refusals and not level.errors.get(OUT_OF_MEMORY)
    ]
    if len({sessions for sessions, _ in told}) < 2:
        return None
    peaks = [memory.peak_bytes for _, memory in told]
    slope, idle = statistics.linear_regression([sessions for sessions, _ in told], peaks)
    most = usable(told[-1][1], objectives)
    if most is None or slope < 1:
        return None
    return Fit(sessions=max(0, int((most - idle) / slope)), per_session_bytes=math.ceil(slope))
