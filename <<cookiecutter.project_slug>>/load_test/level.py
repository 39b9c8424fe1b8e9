"""Runs one level: so many sessions at once for so long, watched from all sides."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from .judge import judge
from .memory import MemoryWatch
from .report import Health, Level, Memory, Objectives, Processes
from .scraper import Scrape, Scraper
from .search import Plan
from .traces import Trace, measure, timeline
from .traffic import UNIT, Session, Traffic

START_SECONDS = 120  # for the first answer of every session
SETTLE_SECONDS = 3  # from the last of them until the first window begins
LAST_SECONDS = 60  # for sessions to end
FREE_SECONDS = 30  # for the container to be healthy and without a session, before each level
IDLE_SECONDS = 3
LOOK_SECONDS = 0.1
TICK_SECONDS = 0.02
LATE = 0.2  # of the limit
CONFIRMED = 3  # times as long as another level

MAIN, MODEL = "process", "byoc_model_process"


class LoadTestError(Exception):
    """One line that says why nothing can be measured."""


class Exercise(NamedTuple):
    """What the sessions met: asked for at `asked`, measured from `begin` on to `end`, and over."""

    traces: list[Trace]
    asked: float
    begin: float
    end: float
    over: float


class Lateness:
    """How late the event loop is, and with it all that is sent here and noted."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []

    async def run(self) -> None:
        while True:
            due = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._late.append((due, time.monotonic() - due))

    def share(self, begin: float, end: float, allowed: float) -> float:
        """The part of this time in which it was later than `allowed`, in seconds."""
        late = [by for due, by in self._late if begin <= due < end and by > allowed]
        return min(1.0, sum(late) / (end - begin)) if end > begin else 0.0


async def exercise(traffic: Traffic, sessions: int, seconds: float) -> Exercise:
    """As soon as one session gets no answer there is nothing to be measured: `begin` is `end`."""
    running = await traffic.prepare(sessions)
    asked = time.monotonic()
    tasks = [asyncio.create_task(session.run()) for session in running]
    try:
        await all_answered(running)
        if any(session.trace.refused or session.trace.errors for session in running):
            seconds = 0
        else:
            await asyncio.sleep(SETTLE_SECONDS)
        begin = time.monotonic()
        await asyncio.wait(tasks, timeout=seconds)
        end = begin + seconds
    finally:
        for session in running:
            session.end()
    _, late = await asyncio.wait(tasks, timeout=LAST_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    over = time.monotonic()
    return Exercise(await traffic.traces(running, begin, end), asked, begin, end, over)


async def all_answered(sessions: Sequence[Session]) -> None:
    """Or the time is up, which is an error of those that have none."""
    answers = [asyncio.create_task(session.answered.wait()) for session in sessions]
    _, missing = await asyncio.wait(answers, timeout=START_SECONDS)
    for session, answer in zip(sessions, answers, strict=True):
        if answer in missing:
            answer.cancel()
            session.trace.errors.append(f"no answer within {START_SECONDS} s")


class Bench:
    """Runs levels on a container, whose memory is `idle` when nobody asks anything of it."""

    def __init__(
        self,
        traffic: Traffic,
        scraper: Scraper,
        memory: MemoryWatch,
        objectives: Objectives,
        fits_bytes: int | None,
    ) -> None:
        self._traffic = traffic
        self._scraper = scraper
        self._memory = memory
        self._objectives = objectives
        total, reserved = memory.sizes
        self._fits = fits_bytes or (total and total - (reserved or 0))
        self._idle = 0

    async def warm_up(self) -> None:
        """One session, and then none: what is used then is level 0. Raises LoadTestError."""
        await self._free()
        (trace,) = (await exercise(self._traffic, 1, SETTLE_SECONDS)).traces
        if trace.refused or trace.errors:
            why = "there is no room" if trace.refused else trace.errors[0]
            raise LoadTestError(f"not even one session is served: {why}")
        await self._free()
        since = time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        used = self._memory.used(since, time.monotonic())
        self._idle = max((bytes_ for _, bytes_ in used), default=0)

    async def run(self, plan: Plan, seconds: float) -> Level:
        """A confirmation takes three times as long. Raises LoadTestError."""
        await self._free()
        before = self._scraper.last
        objectives = self._objectives
        seconds *= CONFIRMED if plan.confirmation else 1
        limit = objectives.limit_ms / 1000 * (1 - objectives.headroom * plan.confirmation)
        lateness = Lateness()
        ticking = asyncio.create_task(lateness.run())
        try:
            done = await exercise(self._traffic, plan.sessions, seconds)
        finally:
            ticking.cancel()
        after = await self._scrape_after(done.over)
        seconds = done.end - done.begin
        used = self._memory.used(done.asked, done.over)
        found: dict[str, Any] = {
            "frames": measure(done.traces, done.begin, seconds, objectives.window_seconds, limit),
            "memory": self._used(plan.sessions, [bytes_ for _, bytes_ in used]),
            "refusals": sum(trace.refused for trace in done.traces),
            "errors": errors(before, after, done.traces),
            "restarts": int(growth(before, after, "byoc_worker_restarts_total")),
            "health": health(self._scraper, done),
            "generator_late_share": lateness.share(done.begin, done.end, LATE * limit),
        }
        trouble = self._memory.trouble(done.asked, done.over)
        verdict, why, reasons = judge(**found, trouble=trouble, objectives=objectives, unit=UNIT)
        return Level(
            **plan._asdict(),
            **found,
            seconds=round(seconds, 1),
            verdict=verdict,
            limit=why,
            reasons=reasons,
            processes=processes(self._scraper.between(done.begin, done.end)),
            timeline=timeline(done.traces, done.begin, seconds, limit, used),
        )

    def _used(self, sessions: int, used: Sequence[int]) -> Memory | None:
        if not used:
            return None
        peak = max(used)
        total, reserved = self._memory.sizes
        return Memory(
            source=self._memory.source,
            idle_bytes=self._idle,
            peak_bytes=peak,
            per_session_bytes=max(0, math.ceil((peak - self._idle) / sessions)),
            total_bytes=total,
            reserved_bytes=reserved,
            fits_bytes=self._fits,
            samples=len(used),
        )

    async def _free(self) -> None:
        """Until the container is healthy and has no session any more."""
        since = time.monotonic()
        while (scrape := await self._scrape_after(since)).total("byoc_sessions_active"):
            if time.monotonic() - since > FREE_SECONDS:
                open_ = int(scrape.total("byoc_sessions_active") or 0)
                raise LoadTestError(f"{open_} sessions are open at the container: end them first")

    async def _scrape_after(self, moment: float) -> Scrape:
        """The container's metrics at that moment or later, from when on it is healthy."""
        deadline = time.monotonic() + FREE_SECONDS
        while not self._scraper.healthy_since(moment):
            if time.monotonic() > deadline:
                words = self._scraper.misses[-1].words if self._scraper.misses else "no answer"
                raise LoadTestError(f"the container is not healthy any more: {words}")
            await asyncio.sleep(LOOK_SECONDS)
        return self._scraper.last


def growth(before: Scrape, after: Scrape, name: str) -> float:
    """Of a counter, also when the container has been started anew meanwhile."""
    first, last = before.total(name) or 0, after.total(name) or 0
    return last - first if last >= first else last


def errors(before: Scrape, after: Scrape, traces: Sequence[Trace]) -> dict[str, int]:
    """By type, those that came up. Refusals are none of them."""
    name = "byoc_errors_total"
    first = before.by(name, "type")
    found = {kind: int(n - first.get(kind, 0)) for kind, n in after.by(name, "type").items()}
    found.pop("capacity", None)
    counted = sum(found.values())
    found["caller"] = sum(len(trace.errors) for trace in traces) - counted
    return {kind: number for kind, number in found.items() if number > 0}


def health(scraper: Scraper, done: Exercise) -> Health:
    misses = [miss for miss in scraper.misses if done.asked <= miss.moment < done.over]
    return Health(
        polls=sum(done.asked <= moment < done.over for moment in scraper.polls),
        misses=[f"after {miss.moment - done.asked:.1f} s: {miss.words}" for miss in misses],
    )


def processes(scrapes: Sequence[Scrape]) -> Processes:
    def cores(process: str) -> float | None:
        name = f"{process}_cpu_seconds_total"
        told = [(s.moment, total) for s in scrapes if (total := s.total(name)) is not None]
        if len(told) < 2:
            return None
        (begin, first), (end, last) = told[0], told[-1]
        return round(max(0, last - first) / (end - begin), 3)

    def resident(process: str) -> int | None:
        totals = (scrape.total(f"{process}_resident_memory_bytes") for scrape in scrapes)
        return max((int(total) for total in totals if total is not None), default=None)

    return Processes(
        main_cores=cores(MAIN),
        model_cores=cores(MODEL),
        main_resident_bytes=resident(MAIN),
        model_resident_bytes=resident(MODEL),
    )
