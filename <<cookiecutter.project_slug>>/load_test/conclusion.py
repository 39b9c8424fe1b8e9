"""The outcome of the levels, in words, and what to set."""

from .judge import LATE_GENERATOR
from .report import Level, Limit, Report
from .search import bracket, fit, outcome, recommended
from .words import SENDER, Unit
from reporting.words import count, percent, size

LIMITS = {"capacity": "the container's own capacity"}
CURES: dict[Limit, str] = {
    "memory": "lower the resolution, the batch size or the precision of the model, or take a "
    "device with more memory",
    "capacity": "raise BYOC_CAPACITY, also at the orchestrator, and run the load test again",
    "errors": "fix the errors; the container's log has the cause of each",
    "latency": "use a faster model or device, or smaller {unit}s; if the device is not fully busy, "
    "raise MAX_PARALLEL in model.py",
}


def conclude(report: Report, unit: Unit) -> None:
    """Derive the rest of the report from its levels, after each level."""
    chosen = recommended(report.levels)
    report.outcome = outcome(report)
    report.highest = bracket(report.levels)[0]
    report.recommended = chosen.sessions if chosen else None
    failed = _failed(report)
    report.limit = failed.limit if failed else None
    report.memory_fit = fit(report.levels, report.objectives)
    report.sentence = _sentence(report, failed, SENDER[unit])
    report.advice = [*_settings(report, chosen, SENDER[unit]), *_cures(report, unit)]


def _failed(report: Report) -> Level | None:
    """The level that gives the limit: the lowest failed one above the recommended one."""
    failed = [level for level in report.levels if level.verdict == "not met"]
    if report.outcome == "unstable":
        return failed[-1]
    above = [each for each in failed if each.sessions > (report.recommended or report.highest)]
    return min(above, key=lambda level: level.sessions, default=None)


def _sentence(report: Report, failed: Level | None, sender: str) -> str:
    held = count(report.recommended or report.highest, sender)
    hold = f"{held} hold{'s' if held.startswith('1 ') else ''}"
    last = report.levels[-1] if report.levels else None
    if report.outcome == "unfinished" or not last:
        return f"Not finished: {hold} so far."
    if report.outcome == "invalid":
        asked = count(last.sessions, sender)
        once = f" {held} met the objectives once." if report.highest else ""
        return f"The result with {asked} is invalid, because {last.reasons[0]}.{once}"
    if failed is None:
        tried = "all that was asked for" if report.only else "the most that was tried"
        return f"{hold}, {tried}: no limit was found."
    why = f"{failed.reasons[0]}, so the limit is {LIMITS.get(failed.limit or '', failed.limit)}."
    again = f"for three times as long with {percent(report.objectives.headroom)} headroom"
    if report.outcome == "not met":
        does = "does" if failed.sessions == 1 else "do"
        return f"{count(failed.sessions, sender)} {does} not hold: {why}"
    if report.outcome == "unstable":
        did = f"{count(failed.sessions, sender)} did not when run {again}"
        return f"{held} met the objectives once, but {did}: {why}"
    return f"{hold}: with {failed.sessions}, {again + ', ' if failed.confirmation else ''}{why}"


def _settings(report: Report, chosen: Level | None, sender: str) -> list[str]:
    if not chosen:
        return []
    number, memory = chosen.sessions, chosen.memory
    there = f"At the orchestrator, set a capacity of {number} and -maxSessions to {number} or more."
    settings = [f"Set BYOC_CAPACITY={number}.", there]
    if report.limit == "capacity":
        settings[0] = f"Keep BYOC_CAPACITY={number}."
    if memory:
        whose = "Resident memory" if memory.source == "resident" else "Memory"
        each = f"{count(number, sender)} of about {size(memory.per_session_bytes)} each"
        used = f"{size(memory.idle_bytes)} when idle and {each} are {size(memory.peak_bytes)}"
        kept = f"{percent(report.objectives.headroom)} is kept free"
        fits = memory.fits_bytes and f" of the {size(memory.fits_bytes)} available; {kept}"
        settings.append(f"{whose}: {used}{fits or '; how much is available is not known'}.")
    return settings


def _cures(report: Report, unit: Unit) -> list[str]:
    if report.outcome == "invalid":
        late = report.levels[-1].generator_late_share > LATE_GENERATOR
        cure = "from another machine" if late else "when nothing disturbs it"
        return [f"Run the load test again {cure}."]
    if report.outcome == "unfinished" or not report.limit:
        return []
    cures = [f"For more {SENDER[unit]}s: {CURES[report.limit].format(unit=unit)}."]
    if report.outcome == "unstable":
        varies = "The measurements vary: stop other programs on this machine, or run longer levels"
        cures.insert(0, f"{varies} (--seconds), and run the load test again.")
    return cures
