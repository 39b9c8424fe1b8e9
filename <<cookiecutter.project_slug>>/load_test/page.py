"""The report as one page of HTML that needs nothing else: no script, no font, no network."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from . import plot, words
from .plot import Limit, Line, Plot, Row
from .report import Level, Report

MOST_POINTS = 120  # of a timeline
FAR = 4  # a limit that is so many times above what was used is told in words
ABOVE, BELOW = -6, 16  # a label and its line
AGES = "Of 100 answers 50 are here within p50 of their scheduled time, 95 in p95, 99 in p99."
SHARES = "The lowest that one of them had in any window. What never came is late."
PEAKS = "The most that was in use; at 0, by the idle container."


def render(report: Report) -> str:
    """Below 300 kB, whatever the report holds."""
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    level = chosen(report)
    sender = words.SENDER["job" if report.age_by == "answer" else "frame"]
    return environment.from_string(template).render(
        report=report,
        words=words,
        plot=plot,
        level=level,
        levels=[words.cells(each) for each in report.levels],
        by_sessions=[*by_sessions(report)] if level else [],
        by_seconds=[*by_seconds(report, level)] if level and level.timeline else [],
        sender=sender,
        remarks=[*remarks(report, sender)],
        schema=Report.model_json_schema(),
    )


def chosen(report: Report) -> Level | None:
    """The recommended one as it was confirmed, else the highest that was met, else the last."""
    met = [level for level in report.levels if level.verdict == "met"]
    met.sort(key=lambda level: (level.confirmation, level.sessions))
    return [None, *report.levels[-1:], *met][-1]


def remarks(report: Report, sender: str) -> Iterator[str]:
    """Why levels were not met, and why figures are not known."""
    for level in report.levels:
        frames, misses = level.frames, [f"/health {miss}" for miss in level.health.misses]
        ages = {"p50": frames.age_p50, "p95": frames.age_p95, "p99": frames.age_p99}
        unknown = [f"{name} is not known: {age.reason}" for name, age in ages.items() if age.reason]
        if told := [*level.reasons[:3], *misses[:3], *unknown]:
            yield f"{words.count(level.sessions, sender)}: {'; '.join(told)}."


def by_sessions(report: Report) -> Iterator[Plot]:
    levels = sorted(report.levels, key=lambda level: level.sessions)
    rows = [Row(each.sessions, words.cells(each)[0], each.verdict) for each in levels]
    frames = [level.frames for level in levels]
    lines = [
        Line("p50", "a", [each.age_p50.ms for each in frames]),
        Line("p95", "b", [each.age_p95.ms for each in frames]),
        Line("p99", "c", [each.age_p99.ms for each in frames]),
    ]
    yield ages(AGES, rows, lines, report.objectives.limit_ms)
    yield shares(SHARES, rows, [each.worst_share for each in frames], report)
    rows = [Row(0, "0, idle"), *rows]
    idle = next((level.memory.idle_bytes for level in levels if level.memory), None)
    peaks = [idle, *(level.memory.peak_bytes if level.memory else None for level in levels)]
    lines = [Line("peak", "a", peaks)]
    if idle is not None and (fit := report.memory_fit) and fit.sessions > levels[-1].sessions:
        reach = min(fit.sessions, 2 * levels[-1].sessions)
        rows.append(Row(reach, f"{reach}, not run"))
        peaks.append(None)
        guess = [idle + fit.per_session_bytes * row.at for row in rows]
        lines.append(Line("extrapolated", "beyond", guess))
    yield from memory(PEAKS, rows, lines, report)


def by_seconds(report: Report, level: Level) -> Iterator[Plot]:
    size = math.ceil(len(level.timeline) / MOST_POINTS)
    groups = [level.timeline[n : n + size] for n in range(0, len(level.timeline), size)]
    rows = [Row(group[0].second, str(group[0].second)) for group in groups]

    def worst(name: str, choose: Callable[[list[float]], float] = max) -> list[float | None]:
        found = [[getattr(second, name) for second in group] for group in groups]
        known = [[value for value in values if value is not None] for values in found]
        return [choose(values) if values else None for values in known]

    told = f"Of what was scheduled in one second{f', the worst of {size}' if size > 1 else ''}."
    lines = [Line("p50", "a", worst("age_p50_ms")), Line("max", "c", worst("age_max_ms"))]
    yield ages(told, rows, lines, level.frames.limit_ms)
    yield shares(told, rows, worst("on_time_share", min), report)
    used = f"The most that was in use in {words.count(size, 'second')}."
    yield from memory(used, rows, [Line("peak", "a", worst("memory_bytes"))], report)


def ages(caption: str, rows: list[Row], lines: list[Line], limit: float) -> Plot:
    known = [value for line in lines for value in line.values if value is not None]
    up = plot.logarithmic([*known, limit])
    limits = [(limit, f"on time within {words.milliseconds(limit)}", ABOVE)]
    return Plot("Latency", caption, rows, lines, words.milliseconds, up, limits)


def shares(caption: str, rows: list[Row], values: list[float | None], report: Report) -> Plot:
    least = report.objectives.on_time_share
    lowest = min(value for value in (least, *values) if value is not None)
    up = plot.linear(max(low for low in (0, 0.5, 0.8, 0.9) if low < lowest or not low), 1)
    limits = [(least, f"objective {words.percent(least)}", BELOW)]
    return Plot("On time", caption, rows, [Line("share", "a", values)], words.percent, up, limits)


def memory(caption: str, rows: list[Row], lines: list[Line], report: Report) -> Iterator[Plot]:
    """No plot where it is not known."""
    known = [value for line in lines for value in line.values if value is not None]
    if not known:
        return
    fits = [level.memory.fits_bytes or 0 for level in report.levels if level.memory][-1]
    free, limits = report.objectives.headroom, list[Limit]()
    if fits > FAR * max(known):
        caption += f" {words.size(fits)} fit, far above."
    elif fits:
        kept = f"{words.size(fits)} fit, {words.percent(free)} is kept free"
        limits += [(fits, kept, ABOVE), ((1 - free) * fits, "", BELOW)]
    top = 1.06 * max([2**20, *known, *(limit for limit, *_ in limits)])
    up = plot.linear(0, top, 2**29 if top > 2**29 else 2**20)
    yield Plot("Memory", caption, rows, lines, words.size, up, limits)
