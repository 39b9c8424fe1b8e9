"""The results in words, for the terminal, the page and the summary."""

import re
from typing import Literal

from .report import Level, Report
from reporting.words import UNKNOWN, percent, size

type Unit = Literal["frame", "job"]

SENDER = {"frame": "session", "job": "caller"}  # that sends them
VERDICTS = {"met": "● met", "not met": "✕ not met", "invalid": "□ invalid"}
HEADERS = ["Sessions", "Verdict", "On time", "p50", "p95", "p99", "Foreign", "Refused", "Errors"]
HEADERS += ["Restarts", "Health misses", "Memory each", "Cores, main + model"]


def milliseconds(ms: float | None) -> str:
    if ms is None or ms >= 999.5:
        return UNKNOWN if ms is None else f"{round(ms / 1000, 1):g} s"
    return f"{round(ms, 1) if ms < 10 else round(ms):g} ms"


def headline(report: Report) -> str:
    return re.split("[:,]", report.sentence)[0][:100] or report.outcome.capitalize()


def cells(level: Level) -> list[str]:
    """A row of the table of levels, under HEADERS. A confirmation is marked `again`."""
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
