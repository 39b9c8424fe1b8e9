"""Whether a level met the objectives, and which ones it missed."""

from collections.abc import Mapping

from .report import Frames, Health, Limit, Memory, Objectives, Verdict
from .words import SENDER, Unit
from reporting.words import count, percent, size

LATE_GENERATOR = 0.01  # of a level: if the load test is late for longer, the level is invalid
OUT_OF_MEMORY = "out_of_memory"


def judge(
    *,
    frames: Frames,
    memory: Memory | None,
    refusals: int,
    errors: Mapping[str, int],
    restarts: int,
    health: Health,
    generator_late_share: float,
    trouble: str,
    objectives: Objectives,
    unit: Unit,
) -> tuple[Verdict, Limit | None, list[str]]:
    """`trouble` says why the level is invalid, else it is empty. The rest is as in Level."""
    if generator_late_share > LATE_GENERATOR:
        late, allowed = percent(generator_late_share), percent(LATE_GENERATOR)
        trouble = f"the load test itself was late for {late} of the level (allowed: {allowed})"
    unmet: list[tuple[Limit, str]] = []
    most = usable(memory, objectives)
    if memory and most is not None and memory.peak_bytes > most:
        kept = f"{size(memory.fits_bytes or 0)} available, {percent(objectives.headroom)} kept free"
        used = f"{size(memory.peak_bytes)} of memory were used (allowed: {size(most)}; {kept})"
        unmet.append(("memory", used))
    if times := errors.get(OUT_OF_MEMORY, 0):
        unmet.append(("memory", f"the model ran out of memory {count(times, 'time')}"))
    if (total := sum(errors.values())) > objectives.errors:
        types = ", ".join(f"{name} {number}" for name, number in errors.items() if number)
        came = f"{count(total, 'error')} occurred ({types}; allowed: {objectives.errors})"
        unmet.append(("errors", came))
    if restarts:
        unmet.append(("errors", f"the model's process was replaced {count(restarts, 'time')}"))
    if frames.foreign:
        pictures = count(frames.foreign, "picture")
        unmet.append(("errors", f"{pictures} reached the wrong session"))
    if health.misses:
        misses = f"{len(health.misses)} of {count(health.polls, 'poll')} of /health"
        first = f"failed, the first one {health.misses[0]}"
        unmet.append(("errors", f"{misses} {first}"))
    if refusals:
        unmet.append(("capacity", f"lack of capacity caused {count(refusals, 'refusal')}"))
    # Trouble can explain late frames and used memory, but not errors or refusals.
    if trouble and not any(limit in ("errors", "capacity") for limit, _ in unmet):
        return "invalid", None, [trouble]
    if frames.scheduled and frames.worst_share < objectives.on_time_share:
        share = f"{percent(frames.worst_share)} of its {unit}s on time in its worst window"
        objective = f"{percent(objectives.on_time_share)} within {frames.limit_ms:g} ms"
        who = f"{SENDER[unit]} {frames.worst_session}"
        unmet.append(("latency", f"{who} had {share} (objective: {objective})"))
    if unmet:
        return "not met", unmet[0][0], [reason for _, reason in unmet]
    if not frames.scheduled:
        return "invalid", None, [f"no {unit} was due during the level (see --seconds)"]
    return "met", None, []


def usable(memory: Memory | None, objectives: Objectives) -> int | None:
    """How many bytes of the memory may be used."""
    if memory is None or memory.fits_bytes is None:
        return None
    return int(memory.fits_bytes * (1 - objectives.headroom))
