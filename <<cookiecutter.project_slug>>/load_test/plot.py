"""A plot, which the page shows as a picture and as a table."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .report import Verdict

# The plotting area in a picture of 360 x 226, which is about the width of a phone.
LEFT, RIGHT, TOP, BOTTOM = 62, 322, 20, 186
APART = 17  # the least distance of two names, so that they don't overlap
STYLES = {"p95": "b", "p99": "c", "max": "c", "extrapolated": "beyond"}  # all others are "a"
MARKS = {
    "met": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
    "not met": "m-4-4l8 8m0-8l-8 8",
    "invalid": "m-4-4h8v8h-8z",
}
STEPS = [step * 10.0**power for power in range(-2, 10) for step in (1, 2, 5)]
WHOLE, BINARY = STEPS[6:], [2.0**power for power in range(18, 50)]


class Axis(NamedTuple):
    """An axis from its first tick to `high`."""

    ticks: Sequence[float]
    high: float
    scale: Callable[[float], float] = float

    def part(self, value: float) -> float:
        low, high, at = map(self.scale, (self.ticks[0], self.high, max(value, self.ticks[0])))
        return min((at - low) / (high - low), 1)


def linear(low: float, high: float, steps: Sequence[float] = STEPS) -> Axis:
    step = next(step for step in steps if step > (high - low) / 5 - 1e-9)
    return Axis([low + step * n for n in range(int((high - low) / step + 1e-9) + 1)], high)


def logarithmic(values: Sequence[float]) -> Axis:
    """For latency, because failed levels are often a hundred times slower than others."""
    low, high = max(min(values), 0.1), max(values)
    steps = STEPS if high < 500 * low else STEPS[::3]
    ticks = steps[bisect_right(steps, low) - 1 : bisect_right(steps, high) + 1]
    return Axis(ticks, ticks[-1], math.log)


class Row(NamedTuple):
    """A measurement `at` a place on the x axis. An invalid one is drawn beside the line."""

    at: float
    label: str
    verdict: Verdict | None = None


class Plot(NamedTuple):
    title: str
    word: Callable[[float | None], str]
    rows: Sequence[Row]
    lines: Mapping[str, Sequence[float | None]]  # a value for each row; None is a gap
    up: Axis
    limits: Sequence[tuple[float, str, int]]  # with a label, and its offset

    @property
    def across(self) -> Axis:
        return linear(0, max(1, *(row.at for row in self.rows)), WHOLE)

    def x(self, value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * self.across.part(value), 1)

    def y(self, value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * self.up.part(value), 1)

    def points(self, name: str) -> Iterator[tuple[Verdict | None, str]]:
        for row, value in zip(self.rows, self.lines[name], strict=True):
            yield row.verdict, "" if value is None else f"{self.x(row.at)} {self.y(value)}"

    def path(self, name: str) -> str:
        """After a gap a new line begins, with a dot."""
        drawn, gap = "", True
        for verdict, place in self.points(name):
            if verdict != "invalid":
                drawn += place and (f"M{place}h0" if gap else f"L{place}")
                gap = not place
        return drawn

    def marks(self, name: str, verdict: Verdict) -> str:
        places = [place for its, place in self.points(name) if its == verdict and place]
        return "".join(f"M{place}{MARKS[verdict]}" for place in places)

    def names(self) -> Iterator[tuple[str, float]]:
        """The name of each line and its y: near the line's end, above the name below."""
        known = {name: [v for v in vs if v is not None] for name, vs in self.lines.items()}
        ends = sorted(((self.y(vs[-1]), name) for name, vs in known.items() if vs), reverse=True)
        y: float = BOTTOM + 2 * APART
        for above, (end, name) in zip(range(len(ends))[::-1], ends, strict=True):
            y = max(min(end + 4, y - APART), TOP + APART * above)
            yield name, y

    def cells(self) -> list[list[str]]:
        """The table."""
        columns = zip(*self.lines.values(), strict=True)
        return [[r.label, *map(self.word, vs)] for r, vs in zip(self.rows, columns, strict=True)]
