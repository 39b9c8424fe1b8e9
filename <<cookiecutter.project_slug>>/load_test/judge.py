"""Whether a level met the objectives, and in words what it did not meet."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .report import Frames, Health, Limit, Memory, Objectives, Verdict
from .words import SENDER, Unit, count, percent, size

LATE_GENERATOR = 0.01  # of a level: when the load test itself is late for longer, it says nothing
OUT_OF_MEMORY = "out_of_memory"


class Judgement(NamedTuple):
    """Three fields of a Level."""

    verdict: Verdict
    limit: Limit | None
    reasons: list[str]


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
) -> Judgement:
    """`trouble` says why the level says nothing; empty if it does. The rest are fields of Level."""
    invalid = [trouble] if trouble else []
    if generator_late_share > LATE_GENERATOR:
        invalid.append(
            f"the load test itself was late for {percent(generator_late_share)} of the level "
            f"(allowed: {percent(LATE_GENERATOR)})"
        )
    if invalid:
        return Judgement("invalid", None, invalid)
    found: dict[Limit, list[str]] = {
        "memory": list(_memory(memory, errors, objectives)),
        "capacity": list(_capacity(refusals)),
        "errors": list(_errors(frames, errors, restarts, health, objectives)),
        "latency": list(_latency(frames, objectives, unit)),
    }
    limit = next((name for name, reasons in found.items() if reasons), None)
    reasons = [reason for each in found.values() for reason in each]
    if not limit and not frames.scheduled:
        return Judgement("invalid", None, [f"not one {unit} was due in it (see --seconds)"])
    return Judgement("not met" if limit else "met", limit, reasons)


def usable(fits_bytes: int, headroom: float) -> int:
    """What may be used of the memory that fits."""
    return int(fits_bytes * (1 - headroom))


def _memory(
    memory: Memory | None, errors: Mapping[str, int], objectives: Objectives
) -> Iterator[str]:
    if memory and memory.fits_bytes is not None:
        most = usable(memory.fits_bytes, objectives.headroom)
        if memory.peak_bytes > most:
            yield (
                f"{size(memory.peak_bytes)} of memory were used ({size(most)} may be: "
                f"{size(memory.fits_bytes)} fit, {percent(objectives.headroom)} is kept free)"
            )
    if times := errors.get(OUT_OF_MEMORY, 0):
        yield f"the model ran out of memory {count(times, 'time')}"


def _capacity(refusals: int) -> Iterator[str]:
    if refusals:
        yield f"{count(refusals, 'request')} met a refusal for want of room"


def _errors(
    frames: Frames,
    errors: Mapping[str, int],
    restarts: int,
    health: Health,
    objectives: Objectives,
) -> Iterator[str]:
    if (total := sum(errors.values())) > objectives.errors:
        types = ", ".join(f"{name} {number}" for name, number in errors.items() if number)
        yield f"{count(total, 'error')} came up ({types}; allowed: {objectives.errors})"
    if restarts:
        yield f"the model's process was replaced {count(restarts, 'time')}"
    if frames.foreign:
        yield f"{count(frames.foreign, 'picture')} came to another session than their own"
    if health.misses:
        misses = count(len(health.misses), "answer")
        yield (
            f"{misses} of {health.polls} of /health would not do for an orchestrator, "
            f"the first: {health.misses[0]}"
        )


def _latency(frames: Frames, objectives: Objectives, unit: Unit) -> Iterator[str]:
    if frames.scheduled and frames.worst_share < objectives.on_time_share:
        yield (
            f"{SENDER[unit]} {frames.worst_session} had {percent(frames.worst_share)} of its "
            f"{unit}s on time in its worst window "
            f"(objective: {percent(objectives.on_time_share)} within {frames.limit_ms:g} ms)"
        )
