"""Runs one level: a number of sessions at once, for some time, with all measurements."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .judge import judge
from .memory import MemoryWatch
from .report import Health, Level, Memory, Objectives, Processes
from .scraper import Scrape, Scraper
from .search import Plan
from .traces import Trace, measure, timeline
from .traffic import UNIT, Session, Traffic
from .words import SENDER

START_SECONDS = 120  # for the first answer of every session
SETTLE_SECONDS = 3  # after the first answers until the first window begins, and when idle
LAST_SECONDS = 60  # for sessions to end
FREE_SECONDS = 30  # for the container to become healthy and idle, before each level
LOOK_SECONDS = 0.1
TICK_SECONDS = 0.02
LATE = 0.2  # of the limit
CONFIRMED = 3  # times as long as another level
RESTARTS = "byoc_worker_restarts_total"


class LoadTestError(Exception):
    """One line that says why nothing can be measured."""


class Exercise:
    """Sessions that were started at `asked`, measured from `begin` to `end`, and over at `over`.

    Times are those of time.monotonic(), which is the event loop's clock. `late` lists the seconds
    by which the load test itself was late meanwhile.
    """

    def __init__(self, settle: float) -> None:
        self.late: list[float] = []
        self._settle = settle

    async def run(self, traffic: Traffic, count: int, seconds: float) -> None:
        """If a session fails at its start, there is nothing to measure: `begin` is `end`."""
        sessions = await traffic.prepare(count)
        self.asked = time.monotonic()
        tasks = [asyncio.create_task(session.run()) for session in sessions]
        try:
            await all_answered(sessions)
            failed = any(session.trace.refused or session.trace.errors for session in sessions)
            await asyncio.sleep(0 if failed else self._settle)
            self.begin = time.monotonic()
            self.end = self.begin + (0 if failed else seconds)
            while time.monotonic() < self.end and not all(task.done() for task in tasks):
                due = time.monotonic() + TICK_SECONDS
                await asyncio.sleep(TICK_SECONDS)
                self.late.append(time.monotonic() - due)
        finally:
            for session in sessions:
                session.end()
        _, lasting = await asyncio.wait(tasks, timeout=LAST_SECONDS)
        for task in lasting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.over = time.monotonic()
        self.traces = await traffic.traces(sessions, self.begin, self.end)


async def all_answered(sessions: Sequence[Session]) -> None:
    """Wait for the first answer of each session; note an error in those without one in time."""
    answers = [asyncio.create_task(session.answered.wait()) for session in sessions]
    _, missing = await asyncio.wait(answers, timeout=START_SECONDS)
    for session, answer in zip(sessions, answers, strict=True):
        if answer in missing:
            answer.cancel()
            session.trace.errors.append(f"no answer within {START_SECONDS} s")


@dataclass
class Bench:
    """Runs levels on one container. `fits` is the memory it may use, `idle` what it uses idle."""

    traffic: Traffic
    scraper: Scraper
    memory: MemoryWatch
    objectives: Objectives
    settle: float
    fits: int = 0
    idle: int = 0

    async def warm_up(self) -> None:
        """Run one session, then read the memory of the idle container. Raises LoadTestError."""
        await self._free()
        warming = Exercise(self.settle)
        await warming.run(self.traffic, 1, self.settle)
        for why in warming.traces[0].refused + warming.traces[0].errors:
            raise LoadTestError(f"the warm-up with one {SENDER[UNIT]} failed: {why}")
        since = await self._free()
        await asyncio.sleep(self.settle)
        self.memory.idle_at = time.monotonic()
        used = self.memory.used(since.moment, self.memory.idle_at)
        self.idle = max((bytes_ for _, bytes_ in used), default=0)

    async def run(self, plan: Plan, seconds: float) -> Level:
        """A confirmation takes three times as long. Raises LoadTestError."""
        before = await self._free()
        goal, done = self.objectives, Exercise(self.settle)
        limit = goal.limit_ms / 1000 * (1 - goal.headroom * plan.confirmation)
        await done.run(
            self.traffic, plan.sessions, seconds * (CONFIRMED if plan.confirmation else 1)
        )
        after = await self._healthy(done.over)
        measured = done.end - done.begin
        late = sum(by for by in done.late if by > LATE * limit)
        used = self.memory.used(done.asked, done.over)
        found: dict[str, Any] = {
            "frames": measure(done.traces, done.begin, measured, goal.window_seconds, limit),
            "memory": self._used(plan.sessions, [bytes_ for _, bytes_ in used]),
            "refusals": sum(len(trace.refused) for trace in done.traces),
            "errors": errors(before, after, done.traces),
            "restarts": int(grown(*(each.total(RESTARTS) or 0 for each in (before, after)))),
            "health": self._health(done),
            "generator_late_share": round(late / measured, 4) if measured else 0,
        }
        trouble = self.memory.trouble(done.asked, done.over)
        verdict, why, reasons = judge(**found, trouble=trouble, objectives=goal, unit=UNIT)
        found |= {"verdict": verdict, "limit": why, "reasons": reasons}
        return Level(
            **plan._asdict(),
            **found,
            seconds=round(measured, 1),
            processes=processes(self.scraper.between(done.begin, done.end)),
            timeline=timeline(done.traces, done.begin, measured, limit, used),
        )

    def _used(self, sessions: int, used: Sequence[int]) -> Memory | None:
        if not used:
            return None
        total, reserved = self.memory.sizes
        return Memory(
            source=self.memory.source,
            idle_bytes=self.idle,
            peak_bytes=max(used),
            per_session_bytes=max(0, math.ceil((max(used) - self.idle) / sessions)),
            total_bytes=total,
            reserved_bytes=reserved,
            fits_bytes=self.fits or (total and total - (reserved or 0)),
            samples=len(used),
        )

    def _health(self, done: Exercise) -> Health:
        misses = [each for each in self.scraper.misses if done.asked <= each.moment < done.over]
        return Health(
            polls=sum(done.asked <= moment < done.over for moment in self.scraper.polls),
            misses=[f"after {miss.moment - done.asked:.1f} s: {miss.words}" for miss in misses],
        )

    async def _free(self) -> Scrape:
        """Wait until the container is healthy and has no session; returns its metrics."""
        deadline = time.monotonic() + FREE_SECONDS
        while (scrape := await self._healthy(time.monotonic())).total("byoc_sessions_active"):
            if time.monotonic() > deadline:
                raise LoadTestError("the container has open sessions: end them first")
        return scrape

    async def _healthy(self, since: float) -> Scrape:
        """Wait until the container is healthy after that time; returns its metrics."""
        deadline = time.monotonic() + FREE_SECONDS
        while not self.scraper.healthy_since(since):
            if time.monotonic() > deadline:
                raise LoadTestError(f"the container is not healthy: {self.scraper.complaint}")
            await asyncio.sleep(LOOK_SECONDS)
        return self.scraper.last


def grown(first: float, last: float) -> float:
    """By how much a counter has grown, even if its process was restarted meanwhile."""
    return last - first if last >= first else last


def errors(before: Scrape, after: Scrape, traces: Sequence[Trace]) -> dict[str, int]:
    """The new errors by type, without refusals."""
    first, last = (scrape.by("byoc_errors_total", "type") for scrape in (before, after))
    found = {kind: int(grown(first.get(kind, 0), number)) for kind, number in last.items()}
    found.pop("capacity", None)
    found["caller"] = sum(len(trace.errors) for trace in traces) - sum(found.values())
    return {kind: number for kind, number in found.items() if number > 0}


def processes(scrapes: Sequence[Scrape]) -> Processes:
    found: dict[str, Any] = {}
    for name, process in (("main", "process"), ("model", "byoc_model_process")):
        told = [(s.moment, s.total(f"{process}_cpu_seconds_total")) for s in scrapes]
        known = [(moment, cpu) for moment, cpu in told if cpu is not None]
        # max, because a replaced process begins at 0 again.
        spent = sum(max(0, after - before) for (_, before), (_, after) in pairwise(known))
        lasted = known[-1][0] - known[0][0] if known else 0
        resident = [s.total(f"{process}_resident_memory_bytes") or 0 for s in scrapes]
        found[f"{name}_cores"] = round(spent / lasted, 3) if lasted else None
        found[f"{name}_resident_bytes"] = int(max(resident, default=0)) or None
    return Processes(**found)
