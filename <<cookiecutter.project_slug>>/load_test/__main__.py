"""How many sessions does this container hold? Runs more and more of them, and says what to set."""

import asyncio
import json
import sys
import tempfile
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from httpx import HTTPError

from .conclusion import conclude
from .devices import watch_memory
from .files import write
from .level import Bench, LoadTestError
from .options import read_options
from .page import render
from .report import Report
from .scraper import watch_ops
from .search import exit_code, next_level
from .summary import markdown
from .target import Target, ended, open_target
from .terminal import Progress
from .traffic import UNIT, SampleError, Traffic
from emulator.asking import CallError
from emulator.container import StartError

NOT_MEASURED, INTERRUPTED = 2, 130


def main() -> int:
    options = read_options(__doc__)
    if options.schema:
        print(json.dumps(Report.model_json_schema(), indent=1))
        return 0
    try:
        options.report.mkdir(parents=True, exist_ok=True)
        traffic = Traffic(options)
        with tempfile.TemporaryDirectory() as folder, open_target(options, Path(folder)) as target:
            report = asyncio.run(run(options, target, traffic))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except StartError as error:
        return fail(ended(error))
    except HTTPError as error:
        return fail(f"the container's ops port can't be asked at {options.ops}, see --ops: {error}")
    except (CallError, LoadTestError, OSError, SampleError) as error:
        return fail(str(error))
    return exit_code(report)


async def run(options: Namespace, target: Target, traffic: Traffic) -> Report:
    """The report is written as each level ends. Raises what `main` tells of."""
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
        Progress(report) as progress,
    ):
        report.device = memory.device
        async with traffic:
            bench = Bench(traffic, scraper, memory, report.objectives, options.memory_bytes)
            await bench.warm_up()
            report.age_by = traffic.age_by
            while plan := next_level(report):
                progress.begin(plan)
                report.levels.append(await bench.run(plan, options.seconds))
                report.notes = [*traffic.notes, *filter(None, [memory.note])]
                conclude(report, UNIT)
                forms = {"json": report.model_dump_json(indent=1), "html": render(report)}
                write(options.report, {**forms, "md": markdown(report)})
                progress.end()
    return report


def fail(words: str) -> int:
    print(words, file=sys.stderr)
    return NOT_MEASURED


if __name__ == "__main__":
    sys.exit(main())
