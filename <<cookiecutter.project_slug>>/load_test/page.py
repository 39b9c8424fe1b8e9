"""The report as one page of HTML, with plots."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from . import plot, words
from .plot import Plot, Row
from .report import Level, Memory, Report
from reporting.page import template
from reporting.words import count, percent, size

MOST_POINTS = 120  # of a timeline
FAR = 4  # a limit that is 4 times above the used memory is only named
ABOVE, BELOW = -6, 16  # where a label is, relative to its line

type Values = Sequence[float | None]
type Lines = Mapping[str, Values]


def render(report: Report) -> str:
    """Smaller than 300 kB, whatever the report contains."""
    level = chosen(report)
    return template(Path(__file__).parent).render(
        report=report,
        words=words,
        count=count,
        plot=plot,
        level=level,
        levels=[words.cells(each) for each in report.levels],
        by_sessions=[*by_sessions(report)] if level else [],
        by_seconds=[*by_seconds(report, level)] if level and level.timeline else [],
        sender=words.SENDER["job" if report.age_by == "answer" else "frame"],
        schema=Report.model_json_schema(),
    )


def chosen(report: Report) -> Level | None:
    """The confirmed level, else the highest that met the objectives, else the highest."""
    order = [(each.verdict == "met", each.confirmation, each.sessions) for each in report.levels]
    return report.levels[order.index(max(order))] if order else None


def by_sessions(report: Report) -> Iterator[Plot]:
    levels = sorted(report.levels, key=lambda level: level.sessions)
    frames, memories = [level.frames for level in levels], [level.memory for level in levels]
    rows = [Row(each.sessions, words.cells(each)[0], each.verdict) for each in levels]
    p50, p95 = [each.age_p50.ms for each in frames], [each.age_p95.ms for each in frames]
    ages: Lines = {"p50": p50, "p95": p95, "p99": [each.age_p99.ms for each in frames]}
    yield latency(rows, ages, report.objectives.limit_ms)
    yield on_time(rows, [each.worst_share for each in frames], report)
    if not (told := [each for each in memories if each]):
        return
    idle, last, fit = told[0].idle_bytes, levels[-1].sessions, report.memory_fit
    peaks = [idle, *(each.peak_bytes if each else None for each in memories)]
    rows, lines = [Row(0, "0, idle"), *rows], dict[str, Values](peak=peaks)
    if fit and fit.sessions > last:
        reach = min(fit.sessions, 2 * last)
        rows.append(Row(reach, f"{reach}, not run"))
        peaks.append(None)
        lines["extrapolated"] = [idle + fit.per_session_bytes * row.at for row in rows]
    yield memory(rows, lines, told[-1], report)


def by_seconds(report: Report, level: Level) -> Iterator[Plot]:
    size = math.ceil(len(level.timeline) / MOST_POINTS)
    groups = [level.timeline[n : n + size] for n in range(0, len(level.timeline), size)]
    rows = [Row(group[0].second, str(group[0].second)) for group in groups]

    def worst(name: str, choose: Callable[..., float | None] = max) -> Values:
        found = [[getattr(second, name) for second in group] for group in groups]
        return [choose((v for v in values if v is not None), default=None) for values in found]

    ages = {"p50": worst("age_p50_ms"), "max": worst("age_max_ms")}
    yield latency(rows, ages, level.frames.limit_ms)
    yield on_time(rows, worst("on_time_share", min), report)
    if level.memory:
        yield memory(rows, {"peak": worst("memory_bytes")}, level.memory, report)


def latency(rows: list[Row], ages: Lines, limit: float) -> Plot:
    up = plot.logarithmic([*known(ages), limit])
    limits = [(limit, f"on time within {words.milliseconds(limit)}", ABOVE)]
    return Plot("Latency", words.milliseconds, rows, ages, up, limits)


def on_time(rows: list[Row], shares: Values, report: Report) -> Plot:
    lines, least = {"share": shares}, report.objectives.on_time_share
    lowest = min([least, *known(lines)])
    up = plot.linear(max(low for low in (0, 0.5, 0.8, 0.9) if low < lowest or not low), 1)
    limits = [(least, f"objective {percent(least)}", BELOW)]
    return Plot("On time", percent, rows, lines, up, limits)


def memory(rows: list[Row], lines: Lines, told: Memory, report: Report) -> Plot:
    highest, fits = max([2**20, *known(lines)]), told.fits_bytes or 0
    free, far = report.objectives.headroom, fits > FAR * highest
    label = "far above" if far else f"{percent(free)} is kept free"
    limits = [(fits, f"{size(fits)} available, {label}", ABOVE), ((1 - free) * fits, "", ABOVE)]
    up = plot.linear(0, 1.06 * max(highest, 0 if far else fits), plot.BINARY)
    return Plot("Memory", size, rows, lines, up, limits if fits else [])


def known(lines: Lines) -> list[float]:
    return [value for values in lines.values() for value in values if value is not None]
