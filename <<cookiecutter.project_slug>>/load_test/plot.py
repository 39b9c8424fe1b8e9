"""A plot: what the page draws as a picture, and lists as a table."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .report import Verdict

# The inside, in a picture of 360 x 226: about as wide as a telephone shows it.
LEFT, RIGHT, TOP, BOTTOM = 62, 322, 20, 186
APART = 17  # names that are nearer to each other would collide
MARKS = {
    "met": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
    "not met": "m-4-4l8 8m0-8l-8 8",
    "invalid": "m-4-4h8v8h-8z",
}

type Axis = tuple[Callable[[float], float], Sequence[float]]  # from 0 to 1 along it, and its ticks
type Limit = tuple[float, str, int]  # with a label, and how far below the line it stands


def nice(value: float) -> float:
    """The next of ... 0.5, 1, 2, 5, 10, 20 ..."""
    power: float = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power > value * (1 - 1e-9))


def linear(low: float, high: float, unit: float = 1, least: float = 0) -> Axis:
    """Its ticks are nice in this unit, and at least so many units apart."""
    step = max(nice((high - low) / unit / 5), least) * unit
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [step * number for number in range(first, last + 1)]
    return lambda value: (value - low) / (high - low), ticks


def logarithmic(values: Sequence[float]) -> Axis:
    """Because levels that fail are often a hundred times slower than those that hold."""
    low = 1 / nice(1 / max(min(values), 0.1))
    ticks = [low, nice(low * 1.1)]
    while ticks[-1] < max(values):
        ticks.append(nice(ticks[-1] * 1.1))
    named = ticks if len(ticks) < 10 else [tick for tick in ticks if f"{tick:e}".startswith("1")]
    return lambda value: math.log(max(value, low) / low) / math.log(ticks[-1] / low), named


class Row(NamedTuple):
    """What was measured `at` a place across. What is invalid stands beside the line."""

    at: float
    label: str
    verdict: Verdict | None = None


class Line(NamedTuple):
    """One value for each row; None is a gap. `style` is a class of the page's."""

    name: str
    style: str
    values: Sequence[float | None]


class Plot(NamedTuple):
    title: str
    caption: str
    rows: Sequence[Row]
    lines: Sequence[Line]
    word: Callable[[float | None], str]
    up: Axis
    limits: Sequence[Limit]

    @property
    def across(self) -> Axis:
        return linear(0, max([1, *(row.at for row in self.rows)]), least=1)

    def x(self, value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * self.across[0](value), 1)

    def y(self, value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * self.up[0](value), 1)

    def points(self, line: Line) -> list[tuple[Verdict | None, str, float | None]]:
        known = [None if value is None else self.y(value) for value in line.values]
        rows = zip(self.rows, known, strict=True)
        return [(row.verdict, f"{self.x(row.at)} {y}", y) for row, y in rows]

    def path(self, line: Line) -> str:
        """After a gap it begins anew, with a dot."""
        drawn, gap = "", True
        for verdict, place, y in self.points(line):
            if verdict != "invalid":
                drawn += "" if y is None else f"M{place}h0" if gap else f"L{place}"
                gap = y is None
        return drawn

    def marks(self, line: Line, verdict: Verdict) -> str:
        found = [place for its, place, y in self.points(line) if its == verdict and y]
        return "".join(f"M{place}{MARKS[verdict]}" for place in found)

    def names(self) -> list[tuple[float, Line]]:
        """How high the name of each line stands, near its end, where there are several."""
        known = [([y for *_, y in self.points(line) if y], line) for line in self.lines]
        ends = [(ys[-1], line) for ys, line in known if ys and line.style != "beyond"]
        ends.sort(key=lambda end: -end[0])
        placed: list[tuple[float, Line]] = []
        for above, (y, line) in zip(range(len(ends))[::-1], ends if ends[1:] else [], strict=False):
            lowest = min([y + 4, *(below - APART for below, _ in placed[-1:])])
            placed.append((max(lowest, TOP + APART * above), line))
        return placed

    def cells(self) -> list[list[str]]:
        """The table."""
        columns = zip(*(line.values for line in self.lines), strict=True)
        return [[r.label, *map(self.word, vs)] for r, vs in zip(self.rows, columns, strict=True)]
