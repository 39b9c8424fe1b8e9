"""Which level is run next, and where the search ends.

Sessions are doubled until a level does not meet the objectives, and bisected from there. The
highest that met them is then run as a confirmation; if that fails, a lower one is, once. For a
capacity of N this takes 2 log2(N) + 4 levels at most, aside from what is run again because it was
invalid.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from .judge import OUT_OF_MEMORY, usable
from .report import Fit, Level, Objectives, Outcome, Report

CONFIRMATIONS = 2


class Plan(NamedTuple):
    """What a level is to be."""

    sessions: int
    confirmation: bool


def next_level(report: Report) -> Plan | None:
    """None at the end. It depends on the levels that ran, `most`, `only` and the objectives."""
    levels = report.levels
    if levels and levels[-1].verdict == "invalid":
        last = _plan(levels[-1])
        times = [_plan(level) for level in levels if level.verdict == "invalid"].count(last)
        return last if times == 1 else None
    if report.only and not levels:
        return Plan(report.only, confirmation=False)
    low, high = bracket(levels)
    if not report.only:
        if high is None and low < report.most:
            return Plan(min(max(1, 2 * low), report.most), confirmation=False)
        if high is not None and high - low > 1:
            return Plan(_between(low, high, report), confirmation=False)
    confirmed = [level for level in valid(levels) if level.confirmation]
    if not low or any(level.verdict == "met" for level in confirmed):
        return None
    if not confirmed:
        return Plan(low, confirmation=True)
    if len(confirmed) == CONFIRMATIONS or low == 1 or report.only:
        return None
    lower = min(low - 1, math.floor(low * (1 - report.objectives.headroom)))
    return Plan(max(1, lower), confirmation=True)


def valid(levels: Sequence[Level]) -> list[Level]:
    return [level for level in levels if level.verdict != "invalid"]


def bracket(levels: Sequence[Level]) -> tuple[int, int | None]:
    """The highest level that met the objectives, 0 for none, below the lowest that did not."""
    searched = [level for level in valid(levels) if not level.confirmation]
    high = min((level.sessions for level in searched if level.verdict == "not met"), default=None)
    met = [level.sessions for level in searched if level.verdict == "met"]
    return max((sessions for sessions in met if high is None or sessions < high), default=0), high


def recommended(levels: Sequence[Level]) -> Level | None:
    """The confirmation that met the objectives."""
    return next((each for each in levels if each.confirmation and each.verdict == "met"), None)


def outcome(report: Report) -> Outcome:
    levels = report.levels
    if next_level(report):
        return "unfinished"
    if levels[-1].verdict == "invalid":
        return "invalid"
    if not bracket(levels)[0]:
        return "not met"
    if not recommended(levels):
        return "unstable"
    if all(level.verdict != "not met" for level in levels):
        return "no limit found"
    return "limit found"


def exit_code(report: Report) -> int:
    """0: there is a recommendation; 1: what was tried does not hold; 2: nothing can be said."""
    if report.recommended:
        return 0
    return 1 if report.outcome in ("not met", "unstable") else 2


def fit(levels: Sequence[Level], objectives: Objectives) -> Fit | None:
    """A line through the memory of those levels in which every session had room."""
    points = [
        (level.sessions, level.memory.peak_bytes, level.memory.fits_bytes)
        for level in valid(levels)
        if level.memory and not level.refusals and not level.errors.get(OUT_OF_MEMORY)
    ]
    sessions, peaks, fits = zip(*points, strict=True) if points else ((), (), (None,))
    if len(set(sessions)) < 2 or fits[-1] is None:
        return None
    slope, idle = statistics.linear_regression(sessions, peaks)
    if slope < 1:
        return None
    room = usable(fits[-1], objectives.headroom) - idle
    return Fit(sessions=max(0, math.floor(room / slope)), per_session_bytes=math.ceil(slope))


def _plan(level: Level) -> Plan:
    return Plan(level.sessions, level.confirmation)


def _between(low: int, high: int, report: Report) -> int:
    """The middle; where memory binds, the nearest to what the line through it says.

    Only as far from the middle as the search takes no more levels than are promised, whatever comes
    of it.
    """
    levels = valid(report.levels)
    binding = next(level for level in levels if level.sessions == high and not level.confirmation)
    guess = fit(levels, report.objectives) if binding.limit == "memory" else None
    wanted = guess.sessions if guess else (low + high) // 2

    def affordable(sessions: int) -> bool:
        return all(
            len(levels) + 1 + _halvings(width) + CONFIRMATIONS <= 2 * math.log2(proven) + 4
            for width, proven in ((sessions - low, low), (high - sessions, sessions))
        )

    return min(filter(affordable, range(low + 1, high)), key=lambda each: abs(each - wanted))


def _halvings(width: int) -> int:
    """How many levels it takes until a bracket of this width is 1 wide."""
    return (width - 1).bit_length()
