"""Figures in words, as all that the load test says and shows has them."""

import math
import re
from typing import Literal

from .report import Level, Report

type Unit = Literal["frame", "job"]

SENDER = {"frame": "session", "job": "caller"}  # who sends them
UNKNOWN = "—"
VERDICTS = {"met": "● met", "not met": "✕ not met", "invalid": "□ invalid"}
HEADERS = ["Sessions", "Verdict", "On time", "p50", "p95", "p99", "Foreign", "Refused", "Errors"]
HEADERS += ["Restarts", "Health misses", "Memory each", "Cores, main + model"]


def count(number: int, noun: str = "session") -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """Rounded down: what is not 95 % is never called so."""
    return UNKNOWN if share is None else f"{math.floor(round(1000 * share, 6)) / 10:g} %"


def size(number: float | None) -> str:
    """In three digits or more, so that so many of them come to their sum."""
    gib = (number or 0) / 2**30
    text = f"{round(1024 * gib)} MiB" if gib < 1 else f"{round(gib, 2 if gib < 10 else 1):g} GiB"
    return UNKNOWN if number is None else text


def milliseconds(ms: float | None) -> str:
    if ms is None or ms >= 999.5:
        return UNKNOWN if ms is None else f"{round(ms / 1000, 1):g} s"
    return f"{round(ms, 1) if ms < 10 else round(ms):g} ms"


def headline(report: Report) -> str:
    return re.split("[:,]", report.sentence)[0][:100] or report.outcome.capitalize()


def cells(level: Level) -> list[str]:
    """One row of a table of levels, below HEADERS. A level that ran again is its confirmation."""
    frames, cores = level.frames, [level.processes.main_cores, level.processes.model_cores]
    return [
        f"{level.sessions} again" if level.confirmation else str(level.sessions),
        VERDICTS[level.verdict] + (f": {level.limit}" if level.limit else ""),
        percent(frames.worst_share),
        *(milliseconds(each.ms) for each in (frames.age_p50, frames.age_p95, frames.age_p99)),
        UNKNOWN if frames.foreign is None else str(frames.foreign),
        str(level.refusals),
        ", ".join(f"{number} {kind}" for kind, number in level.errors.items() if number) or "0",
        *(str(level.restarts), str(len(level.health.misses))),
        size(level.memory.per_session_bytes if level.memory else None),
        " + ".join(UNKNOWN if each is None else f"{each:.1f}" for each in cores),
    ]
