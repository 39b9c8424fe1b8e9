"""Reports of load tests that might have been, of which some are hostile."""

from collections.abc import Sequence
from datetime import UTC, datetime

from load_test.report import (
    Fit,
    Frames,
    Health,
    Level,
    Limit,
    Memory,
    Objectives,
    Outcome,
    Percentile,
    Processes,
    Report,
    Second,
    Verdict,
)

GIB = 2**30
HOSTILE = "</title><script>alert(1)</script>\n| ![x](https://example.com/x.png) &amp; `"


def percentile(ms: float | None) -> Percentile:
    reason = "300 frames, 459 are needed" if ms is None else None
    return Percentile(ms=ms, reason=reason)


def level(
    sessions: int,
    ages: Sequence[float | None] = (21, 28, None),
    share: float = 1,
    verdict: Verdict = "met",
    limit: Limit | None = None,
    reasons: Sequence[str] = (),
    *,
    confirmation: bool = False,
    seconds: int = 10,
    gib: float | None = None,
    fits: float = 23.5,
    idle: float = 6.5,
    resident: bool = False,
    hostile: str = "",
) -> Level:
    """`gib` is the memory of each session; there is none known without."""
    peak = idle + sessions * (gib or 0)
    p50, p95, p99 = ages
    memory = Memory(
        source="resident" if resident else "NVML",
        idle_bytes=int(idle * GIB),
        peak_bytes=int(peak * GIB),
        per_session_bytes=int((gib or 0) * GIB),
        total_bytes=int(fits * GIB) + 2**29,
        reserved_bytes=None if resident else 2**29,
        fits_bytes=int(fits * GIB),
        samples=10 * seconds,
    )
    return Level(
        sessions=sessions,
        confirmation=confirmation,
        seconds=seconds,
        verdict=verdict,
        limit=limit,
        reasons=[*reasons],
        frames=Frames(
            limit_ms=90 if confirmation else 100,
            scheduled=30 * sessions * seconds,
            on_time=int(30 * sessions * seconds * share),
            late=30 * sessions * seconds - int(30 * sessions * seconds * share),
            missing=0,
            shares=[share] * sessions,
            worst_share=share,
            worst_session=1,
            age_p50=percentile(p50),
            age_p95=percentile(p95),
            age_p99=percentile(p99),
            first_ms=412,
            foreign=None if resident else 0,
            repeated=None if resident else 2,
            frozen_ms=None if resident else 66.7,
        ),
        refusals=2 if limit == "capacity" else 0,
        errors={"timeout": 2, hostile or "caller": 1} if limit == "errors" else {"timeout": 0},
        restarts=1 if limit == "errors" else 0,
        health=Health(
            polls=2 * seconds,
            misses=[f"at 3.2 s: no answer within 3 s {hostile}"] if limit == "errors" else [],
        ),
        generator_late_share=0.3 if verdict == "invalid" else 0,
        memory=None if gib is None else memory,
        processes=Processes(
            main_cores=0.08 * sessions,
            model_cores=None if hostile else 0.11 * sessions,
            main_resident_bytes=90 * 2**20,
            model_resident_bytes=2**30,
        ),
        timeline=[second(n, p50, share, None if gib is None else peak) for n in range(seconds)],
    )


def second(number: int, age: float | None, share: float, gib: float | None) -> Second:
    """With a pause, in which nothing came and the memory was not told, and a slow moment."""
    quiet, slow = number % 23 == 7, number % 11 == 5
    known = age is not None and not quiet
    return Second(
        second=number,
        on_time_share=None if quiet else share - 0.04 * slow * share,
        age_p50_ms=(age or 0) * (1.1 + 0.1 * (number % 3)) if known else None,
        age_max_ms=(age or 0) * (2.1 + 2 * slow + 0.3 * (number % 4)) if known else None,
        memory_bytes=None if gib is None or quiet else int((gib - 0.1 * (number % 2)) * GIB),
    )


def report(outcome: Outcome, levels: Sequence[Level], **rest: object) -> Report:
    told: dict[str, object] = {
        "started": datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        "target": "the container that was started from this repository, directly",
        "sample": "tests/data/bigbuckbunny.mp4, 30 frames a second",
        "age_by": "counter",
        "objectives": Objectives(limit_ms=100),
        "most": 64,
        "device": "NVIDIA GeForce RTX 4090",
        "levels": [*levels],
        "outcome": outcome,
    }
    return Report.model_validate(told | rest)


def by_memory() -> Report:
    levels = [
        level(1, (21, 27, None), gib=1.25),
        level(2, (21, 28, None), gib=1.2),
        level(4, (22, 29, 34), gib=1.18),
        level(8, (23, 31, 37), gib=1.17),
        level(16, (None, None, None), 0, "not met", "memory", ["out of memory: 16 sessions"]),
        level(12, (25, 33, 41), 0.998, gib=1.16),
        level(14, (27, 39, 52), 0.99, "not met", "memory", ["22.7 GiB used, 21.2 fit"], gib=1.16),
        level(12, (25, 33, 41), 0.991, gib=1.16, confirmation=True, seconds=30),
    ]
    return report(
        "limit found",
        levels,
        highest=12,
        recommended=12,
        limit="memory",
        sentence="12 sessions hold, and the limit is memory: with 14 the peak was 22.7 GiB, and of "
        "the 23.5 GiB available 10 % are kept free.",
        advice=[
            "Set BYOC_CAPACITY=12.",
            "Start the orchestrator with -maxSessions 12, or a capacity of 12 for this runner.",
            "For more sessions lower the resolution, the batch or the precision: each session "
            "takes 1.2 GiB at its peak.",
        ],
        memory_fit=Fit(sessions=14, per_session_bytes=int(1.16 * GIB)),
    )


def by_latency() -> Report:
    levels = [
        level(1, (21, 27, None), gib=0.4),
        level(2, (22, 29, None), gib=0.4),
        level(4, (25, 38, 46), gib=0.4),
        level(8, (1450, 3900, 4100), 0.02, "not met", "latency", ["2 % on time"], gib=0.41),
        level(6, (38, 71, 88), 0.981, gib=0.4),
        level(7, (55, 131, 240), 0.87, "not met", "latency", ["87 % on time"], gib=0.4),
        level(6, (38, 72, 91), 0.96, gib=0.4, confirmation=True, seconds=30),
    ]
    return report(
        "limit found",
        levels,
        highest=6,
        recommended=6,
        limit="latency",
        sentence="6 sessions hold, and the limit is latency: with 7 the worst session had 87 % of "
        "its frames on time in one window, where 95 % are asked for.",
        advice=["Set BYOC_CAPACITY=6.", "Give the orchestrator a capacity of 6 for this runner."],
        memory_fit=Fit(sessions=42, per_session_bytes=int(0.4 * GIB)),
    )


def not_met() -> Report:
    reasons = ["1 restart", "3 errors, 0 are allowed"]
    levels = [level(1, (140, None, None), 0.1, "not met", "errors", reasons, gib=1)]
    return report(
        "not met",
        levels,
        limit="errors",
        sentence="One session does not hold: the model's process was replaced once.",
    )


def invalid() -> Report:
    levels = [
        level(1),
        level(2),
        level(4, (60, 90, 240), 0.93, "invalid", None, ["the load test was late 30 % of the time"]),
    ]
    return report(
        "invalid",
        levels,
        highest=2,
        sentence="The result beyond 2 sessions is invalid, because the load test itself was late.",
        notes=["NVML told no memory: the driver is not there."],
    )


def resident() -> Report:
    levels = [
        level(n, (4, 6, 9), gib=0.021, fits=62, idle=0.14, resident=True) for n in (1, 2, 4, 8, 16)
    ]
    levels.append(levels[-1].model_copy(update={"confirmation": True}))
    return report(
        "no limit found",
        levels,
        highest=16,
        recommended=16,
        most=16,
        age_by="answer",
        device="no GPU: memory of the processes",
        sentence="16 sessions hold, and no limit was found up to there.",
        advice=["Set BYOC_CAPACITY=16, or go on with --most 32."],
        notes=["There is no GPU: memory is the resident memory of both processes."],
    )


def hostile() -> Report:
    levels = [
        level(
            n,
            (20 + 3 * n, None if n % 5 == 0 else 25 + 5 * n, None if n % 3 else 30 + 90 * n),
            max(0, 1 - n / 90),
            ("met", "not met", "invalid")[n % 3],
            "errors" if n % 2 else None,
            [HOSTILE * 9] * 9,
            gib=None if n % 4 == 0 else 0.5,
            seconds=600,
            hostile=HOSTILE,
        )
        for n in range(1, 41)
    ]
    told = dict.fromkeys(("target", "sample", "device", "sentence"), HOSTILE * 50)
    return report(
        "unstable", levels, highest=39, **told, advice=[HOSTILE * 50] * 50, notes=[HOSTILE] * 50
    )


def single() -> Report:
    return report("unfinished", [level(1, (0, 0, None), seconds=1, gib=0, idle=0.93)])


def empty() -> Report:
    return report("unfinished", [])


REPORTS = {
    make.__name__: make
    for make in (by_memory, by_latency, not_met, invalid, resident, hostile, single, empty)
}
