"""What the levels that ran come to, in words, and what to set."""

from .judge import LATE_GENERATOR
from .report import Level, Limit, Report
from .search import bracket, fit, outcome, recommended
from .words import SENDER, Unit, count, percent, size

BINDS: dict[Limit | None, str] = {
    "memory": "memory binds",
    "capacity": "the container's own capacity binds",
    "errors": "errors bind",
    "latency": "latency binds",
}


def conclude(report: Report, unit: Unit) -> None:
    """Fill in all that follows from its levels; after each of them, so that it always agrees."""
    chosen = recommended(report.levels)
    report.outcome = outcome(report)
    report.highest = bracket(report.levels)[0]
    report.recommended = chosen.sessions if chosen else None
    binding = _binding(report, chosen)
    report.limit = binding.limit if binding else None
    report.memory_fit = fit(report.levels, report.objectives)
    report.sentence = _sentence(report, chosen, binding, SENDER[unit])
    report.advice = _advice(report, chosen, unit)


def _binding(report: Report, chosen: Level | None) -> Level | None:
    """The lowest level above the recommended one, or else above the highest, that failed."""
    failed = [level for level in report.levels if level.verdict == "not met"]
    if report.outcome == "unstable":
        return failed[-1]
    above = chosen.sessions if chosen else report.highest
    return min(
        (level for level in failed if level.sessions > above),
        key=lambda level: level.sessions,
        default=None,
    )


def _sentence(report: Report, chosen: Level | None, binding: Level | None, sender: str) -> str:
    number = chosen.sessions if chosen else report.highest
    hold = f"{count(number, sender)} hold{'s' if number == 1 else ''}"
    if report.outcome == "unfinished":
        return f"Not finished: {hold} so far."
    if report.outcome == "invalid":
        last = report.levels[-1]
        asked = count(last.sessions, sender)
        return f"Nothing can be said of {asked}, because {last.reasons[0]}: at least {hold}."
    if binding is None:
        tried = "all that was asked for" if report.only else "the most that was tried"
        return f"{hold}, {tried}: no limit was found."
    failed = count(binding.sessions, sender)
    why = f"{binding.reasons[0]}, so {BINDS[binding.limit]}."
    again = f"for three times as long with {percent(report.objectives.headroom)} head-room"
    if report.outcome == "not met":
        return f"{failed} {'does' if binding.sessions == 1 else 'do'} not hold: {why}"
    if report.outcome == "unstable":
        once = count(number, sender)
        return f"{once} met the objectives once, but {failed} did not when run {again}: {why}"
    return f"{hold}: with {binding.sessions}, {again + ', ' if binding.confirmation else ''}{why}"


def _advice(report: Report, chosen: Level | None, unit: Unit) -> list[str]:
    advice = []
    if chosen:
        number = chosen.sessions
        advice += [
            f"Set BYOC_CAPACITY={number}.",
            f"At the orchestrator: a capacity of {number}, and -maxSessions of at least {number}.",
            *_arithmetic(report, chosen, SENDER[unit]),
        ]
    if report.outcome == "invalid":
        late = report.levels[-1].generator_late_share > LATE_GENERATOR
        cure = "from another machine, or with fewer sessions" if late else "when it is undisturbed"
        advice.append(f"Run the load test again {cure}.")
    if report.outcome == "unstable":
        advice.append(
            "What was measured varies from run to run: stop what else uses the machine, or have "
            "longer windows, and run the load test again."
        )
    if report.limit and report.outcome != "unfinished":
        advice.append(f"For more {SENDER[unit]}s: {_cure(report.limit, unit)}.")
    return advice


def _cure(limit: Limit, unit: Unit) -> str:
    if limit == "memory":
        return (
            "lower the resolution, the batch size or the precision of the model, or take a device "
            "with more memory"
        )
    if limit == "capacity":
        return "raise BYOC_CAPACITY, and what the orchestrator has, and run the load test again"
    if limit == "errors":
        return "the container's log has the cause of each error"
    smaller = "a smaller picture, a lower frame rate" if unit == "frame" else "smaller jobs"
    return (
        f"a faster model or device, {smaller}, or, while the device has time to spare, a higher "
        "MAX_PARALLEL in model.py"
    )


def _arithmetic(report: Report, chosen: Level, sender: str) -> list[str]:
    memory = chosen.memory
    if memory is None:
        return []
    used = (
        f"{count(chosen.sessions, sender)} of {size(memory.per_session_bytes)} each and "
        f"{size(memory.idle_bytes)} when idle are {size(memory.peak_bytes)}"
    )
    whose = "Resident memory of both processes" if memory.source == "resident" else "Memory"
    if memory.fits_bytes is None:
        return [f"{whose}: {used}; how much fits is not known."]
    kept = f"{percent(report.objectives.headroom)} is kept free"
    return [f"{whose}: {used} of the {size(memory.fits_bytes)} that fit; {kept}."]
