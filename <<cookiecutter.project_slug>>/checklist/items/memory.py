"""GPU memory.

A short load test at the capacity.
"""

import asyncio
from argparse import Namespace
from functools import cache

from ..item import FailedError, Item, NotTestedError, SkippedError
from ..lab import Lab
from .start import Ready
from load_test.devices import GPU
from load_test.report import Objectives, Report
from load_test.run import run
from load_test.target import Target, started
from load_test.traffic import LIMIT_MS, Traffic
from reporting.words import percent, size

QUICK_SECONDS, FULL_SECONDS = 2, 20
UNJUDGED = Objectives(limit_ms=60_000, on_time_share=0)


@cache
def measure(lab: Lab) -> Report:
    """A load test with as many sessions as the capacity; its report goes beside this one."""
    container, options, words = lab.running(), lab.options, "the container"
    changed = {
        "orchestrator": None,
        "objectives": UNJUDGED if lab.quick else Objectives(limit_ms=LIMIT_MS),
        "sessions": lab.capacity,
        "most": lab.capacity,
        "seconds": QUICK_SECONDS if lab.quick else FULL_SECONDS,
        "report": options.report / "load-test",
    }
    given = Namespace(**vars(options) | changed)
    given.report.mkdir(exist_ok=True)
    remote = Target(words, options.url, options.ops, None)
    target = remote if options.url else started(container, words)
    return asyncio.run(run(given, target, Traffic(given), quiet=True, glance=lab.quick))


class MemoryFits(Item):
    """The sessions fit into the memory.

    As many sessions as the capacity fit into the memory of the device, with some to spare.

    Why: sessions are admitted by number, and one that fills the memory ends all others. https://pytorch.org/docs/stable/notes/cuda.html#memory-management

    Fix: lower BYOC_CAPACITY, or the memory of each session: resolution, batch size, precision.
    """

    needs = (Ready,)
    target = "running"

    def check(self, lab: Lab) -> str:
        report = measure(lab)
        told = [level.memory for level in report.levels if level.memory]
        if not told:
            raise SkippedError("; ".join(report.notes) or "the memory is not known")
        most = max(told, key=lambda memory: memory.peak_bytes)
        if GPU and most.source == "resident":
            raise SkippedError("there is no GPU here: run the checklist where it will serve")
        words = (
            f"{size(most.idle_bytes)} when idle and {lab.capacity} times "
            f"{size(most.per_session_bytes)} are {size(most.peak_bytes)} of the "
            f"{size(most.fits_bytes)} available; {percent(report.objectives.headroom)} is kept free"
        )
        if any(level.limit == "memory" for level in report.levels):
            raise FailedError(words)
        return words


class CapacityMeasured(Item):
    """The capacity is not above what was measured.

    A load test with as many sessions as the capacity meets its objectives.

    Why: orchestrators send as many sessions as are advertised, whether or not the device keeps up.
    https://sre.google/sre-book/handling-overload/

    Fix: set BYOC_CAPACITY to what `python -m load_test` recommends.
    """

    needs = (MemoryFits,)
    target = "running"

    def check(self, lab: Lab) -> str:
        report = measure(lab)
        last = report.levels[-1]
        if last.verdict == "invalid":
            raise NotTestedError("; ".join(last.reasons))
        if last.verdict == "not met":
            raise FailedError(f"{lab.capacity} at once do not hold: {'; '.join(last.reasons)}")
        if lab.quick:
            return f"{lab.capacity} at once hold for some seconds; latency was not judged"
        return report.sentence
