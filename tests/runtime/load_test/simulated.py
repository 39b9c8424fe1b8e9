"""Servers whose true capacity is known, and the search for it.

`python simulated.py` prints what comes of them.
What a level shows comes of synthetic traces by the same `measure` and `judge` as for a real one.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

from load_test.conclusion import conclude
from load_test.judge import judge
from load_test.report import Frames, Health, Level, Memory, Objectives, Processes, Report
from load_test.search import Plan, next_level
from load_test.traces import Trace, measure

OBJECTIVES = Objectives(limit_ms=500)
LIMIT, LENGTH, HEADROOM = 0.5, OBJECTIVES.window_seconds, OBJECTIVES.headroom
FRAMES = 40  # of a session in a window
SPREAD = 0.1  # the youngest frame is so much younger than the oldest
GIB = 2**30
FITS = 24 * GIB
MOST = 64

type Age = Callable[[Plan, Random], float]
type Peak = Callable[[int], float]


def quick(plan: Plan, rng: Random) -> float:
    return 0.1


@dataclass
class Server:
    """`age` is that of a session's oldest frames, in seconds; `invalid` says how many times the
    load test itself is late; `room` is the server's own capacity."""

    age: Age = quick
    peak: Peak | None = None
    invalid: dict[Plan, float] = field(default_factory=dict)
    room: float = math.inf

    def run(self, plan: Plan, rng: Random) -> Level:
        windows = 3 if plan.confirmation else 1
        limit = LIMIT * (1 - HEADROOM) if plan.confirmation else LIMIT
        frames = of_ages(tuple(self.age(plan, rng) for _ in range(plan.sessions)), windows, limit)
        if late := self.invalid.get(plan, 0) > 0:
            self.invalid[plan] -= 1
        found: dict[str, Any] = {
            "frames": frames,
            "memory": of_peak(self.peak, plan.sessions) if self.peak else None,
            "refusals": int(max(0, plan.sessions - self.room)),
            "errors": {},
            "restarts": 0,
            "health": Health(polls=20, misses=[]),
            "generator_late_share": 0.031 if late else 0,
        }
        verdict, binding, reasons = judge(**found, trouble="", objectives=OBJECTIVES, unit="frame")
        return Level(
            **plan._asdict(),
            **found,
            seconds=windows * LENGTH,
            verdict=verdict,
            limit=binding,
            reasons=reasons,
            processes=Processes(
                main_cores=None,
                model_cores=None,
                main_resident_bytes=None,
                model_resident_bytes=None,
            ),
            timeline=[],
        )


@cache
def of_ages(ages: tuple[float, ...], windows: int, limit: float) -> Frames:
    due = [number * LENGTH / FRAMES for number in range(windows * FRAMES)]
    traces = [
        Trace(
            due,
            {
                number: moment + age * (1 - SPREAD * (number % FRAMES) / (FRAMES - 1))
                for number, moment in enumerate(due)
            },
            age,
        )
        for age in ages
    ]
    return measure(traces, 0, windows * LENGTH, LENGTH, limit)


def of_peak(peak: Peak, sessions: int) -> Memory:
    return Memory(
        source="NVML",
        idle_bytes=int(peak(0)),
        peak_bytes=int(peak(sessions)),
        per_session_bytes=math.ceil((int(peak(sessions)) - int(peak(0))) / sessions),
        total_bytes=FITS,
        reserved_bytes=0,
        fits_bytes=FITS,
        samples=100,
    )


def new_report(most: int = MOST, only: int | None = None) -> Report:
    return Report(
        started=datetime.now(UTC),
        target="simulated",
        sample="frames",
        objectives=OBJECTIVES,
        most=most,
        only=only,
        device="none",
    )


def search(server: Server, most: int = MOST, only: int | None = None, seed: int = 0) -> Report:
    report, rng = new_report(most, only), Random(seed)
    while plan := next_level(report):
        report.levels.append(server.run(plan, rng))
        conclude(report, "frame")
    return report


def highest(holds: Callable[[int], bool], most: int = MOST) -> int:
    """The true capacity: all numbers of sessions up to it hold."""
    return next((sessions - 1 for sessions in range(1, most + 1) if not holds(sessions)), most)


def in_time(age: Age) -> Callable[[int], bool]:
    """Whether at least 95 % of the frames are, as SPREAD has it, with so many sessions."""
    part = 1 - SPREAD * math.floor(0.05 * FRAMES) / (FRAMES - 1)
    return lambda sessions: age(Plan(sessions, False), Random(0)) * part <= LIMIT


def fits(peak: Peak) -> Callable[[int], bool]:
    return lambda sessions: int(peak(sessions)) <= FITS * (1 - HEADROOM)


def bound(capacity: int) -> float:
    """How many levels the search may take."""
    return 2 * math.log2(max(1, capacity)) + 4


def cliff(capacity: float) -> Age:
    return lambda plan, rng: 0.1 if plan.sessions <= capacity else 2.0


def slope(capacity: int) -> Age:
    """In proportion to the sessions."""
    return lambda plan, rng: 0.49 * plan.sessions / capacity


def queue(capacity: int) -> Age:
    """As a server that is busy has it: 1 / (1 - load)."""
    return lambda plan, rng: 0.1 / max(0.01, 1 - plan.sessions * 0.79 / capacity)


def noisy(age: Age, share: float = 0.05) -> Age:
    return lambda plan, rng: age(plan, rng) * (1 + rng.uniform(-share, share))


def again_above(capacity: int, gap: int) -> Age:
    """So many more than its capacity are late, and then it holds as many again."""
    return lambda plan, rng: (
        2.0
        if capacity < plan.sessions <= capacity + gap or plan.sessions > 2 * capacity + gap
        else 0.1
    )


def tires(seconds: float) -> Age:
    """Slow whenever it is asked for longer than that."""
    return lambda plan, rng: 2.0 if plan.confirmation and seconds < 3 * LENGTH else 0.1


def linear(rng: Random) -> Peak:
    idle, each = GIB * rng.uniform(0.5, 6), GIB * 10 ** rng.uniform(-1, 1)
    return lambda sessions: idle + each * sessions


def saturating(rng: Random) -> Peak:
    """What sessions share fills up first."""
    idle, each = GIB * rng.uniform(0.5, 6), GIB * 10 ** rng.uniform(-1, 0)
    shared, scale = GIB * rng.uniform(1, 12), rng.uniform(1, 10)
    return lambda sessions: idle + each * sessions + shared * -math.expm1(-sessions / scale)


def convex(rng: Random) -> Peak:
    """Each session takes more than the one before."""
    idle, each = GIB * rng.uniform(0.5, 6), GIB * 10 ** rng.uniform(-1, 0.7)
    more = each * rng.uniform(0.01, 0.2)
    return lambda sessions: idle + each * sessions + more * sessions**2


def steps(rng: Random) -> Peak:
    """An allocator takes whole blocks of the device, each larger than the one before."""
    idle, each = GIB * rng.uniform(0.5, 6), GIB * 10 ** rng.uniform(-1, 0.7)
    first, growth = GIB * rng.uniform(0.25, 3), rng.choice([1, 1.5, 2])

    def peak(sessions: int) -> float:
        held, block = 0.0, first
        while held < each * sessions:
            held, block = held + block, block * growth
        return idle + held

    return peak


MEMORY_MODELS = (linear, saturating, convex, steps)
# Where 5 % of the latency is less than a session makes.
NOISY = ((slope, 5), (slope, 12), (slope, 18), (queue, 5), (queue, 12), (queue, 40), (queue, 60))


def least_squares(peak: Peak, most: int = MOST) -> int | None:
    """What a line through 1, 2 and 4 sessions, as far as they fit, recommends."""
    ran = [sessions for sessions in (1, 2, 4) if fits(peak)(sessions)]
    if len(ran) < 2:
        return None
    each, idle = statistics.linear_regression(ran, [peak(sessions) for sessions in ran])
    room = FITS * (1 - HEADROOM) - idle
    return min(most, math.floor(room / each)) if each > 0 else most


def table() -> str:
    rows = ["| model | true capacity | highest | recommended | levels run | at most | outcome |"]
    rows.append("| --- | --: | --: | --: | --: | --: | --- |")

    def add(name: str, server: Server, capacity: int, most: int = MOST, seed: int = 0) -> None:
        report = search(server, most, seed=seed)
        valid = [level for level in report.levels if level.verdict != "invalid"]
        most_levels = math.floor(bound(max(capacity, report.highest)))
        rows.append(
            f"| {name} | {capacity} | {report.highest} | {report.recommended or '-'} "
            f"| {len(valid)} | {most_levels} | {report.outcome} |"
        )

    for capacity in (1, 2, 3, 5, 7, 12, 31, 32, 33, 47, 63):
        add("cliff", Server(cliff(capacity)), capacity)
    add("cliff, at most 100", Server(cliff(77)), 77, 100)
    add("its own capacity", Server(room=20), 20)
    for shape in (slope, queue):
        for capacity in (5, 12, 40):
            add(shape.__name__, Server(shape(capacity)), highest(in_time(shape(capacity))))
    for shape, capacity in NOISY:
        server = Server(noisy(shape(capacity)))
        add(f"{shape.__name__}, noise of 5 %", server, highest(in_time(shape(capacity))))
    add("holds again above 12", Server(again_above(12, 6)), 12)
    add("holds again above 5, unseen", Server(again_above(5, 2)), 5)
    add("always", Server(), MOST)
    add("never", Server(cliff(0)), 0)
    add("tires after 20 s", Server(tires(20)), MOST)
    add("the load test is late once at 8", Server(cliff(12), invalid={Plan(8, False): 1}), 12)
    add("the load test is late at 8", Server(cliff(12), invalid={Plan(8, False): 2}), 12)
    for model in MEMORY_MODELS:
        for seed in (1, 2, 3):
            peak = model(Random(seed))
            add(f"memory, {model.__name__}", Server(peak=peak), highest(fits(peak)))
    return "\n".join(rows)


def too_much(model: Callable[[Random], Peak], cases: int) -> tuple[int, int]:
    """How often least squares, and how often the search, recommend more than fits."""
    guessed = found = 0
    for seed in range(cases):
        peak = model(Random(seed))
        capacity = highest(fits(peak))
        guessed += (least_squares(peak) or 0) > capacity
        found += (search(Server(peak=peak)).recommended or 0) > capacity
    return guessed, found


def comparison(cases: int) -> str:
    rows = [f"| {cases} of | least squares recommends too much | the search does |"]
    rows.append("| --- | --: | --: |")
    for model in MEMORY_MODELS:
        rows.append("| {} | {} | {} |".format(model.__name__, *too_much(model, cases)))
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(), comparison(500), sep="\n\n")
