"""One load test from its first level to its report."""

from argparse import Namespace
from datetime import UTC, datetime

from .conclusion import conclude
from .devices import watch_memory
from .level import SETTLE_SECONDS, Bench
from .page import render
from .report import Report
from .scraper import watch_ops
from .search import next_level
from .summary import markdown
from .target import Target
from .terminal import Progress
from .traffic import UNIT, Traffic
from reporting.files import write

GLANCE_SECONDS = 1


async def run(
    options: Namespace,
    target: Target,
    traffic: Traffic,
    *,
    quiet: bool = False,
    glance: bool = False,
) -> Report:
    """Write the report after each level. `quiet` shows no progress, a `glance` is one level without
    a confirmation.

    Raises CallError, LoadTestError, OSError, and httpx.HTTPError for the ops port.
    """
    options.url = target.jobs
    report = Report(
        started=datetime.now(UTC),
        target=target.words,
        sample=str(traffic),
        objectives=options.objectives,
        most=options.most,
        only=options.sessions,
    )
    with (
        watch_ops(target.ops) as scraper,
        watch_memory(scraper, target.root, target.here) as memory,
        Progress(report, quiet) as progress,
    ):
        report.device = memory.device
        async with traffic:
            settle = GLANCE_SECONDS if glance else SETTLE_SECONDS
            goal, fits = report.objectives, options.memory_bytes
            bench = Bench(traffic, scraper, memory, goal, settle, fits)
            await bench.warm_up()
            report.age_by = traffic.age_by
            while plan := next_level(report):
                if plan.confirmation and glance:
                    break
                progress.begin(plan)
                report.levels.append(await bench.run(plan, options.seconds))
                report.notes = [*traffic.notes, *filter(None, [memory.note])]
                conclude(report, UNIT)
                write(options.report, report, html=render(report), md=markdown(report))
                progress.end()
    return report
