"""Does this container pass the production checklist? Checks each item, and says what to fix."""

import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import httpx

from .items import ALL
from .lab import Lab, Remote
from .options import read_options
from .page import render
from .report import Report
from .runner import EXIT_CODES, choose, conclude, run
from .summary import markdown
from .terminal import Progress, explain, listing
from reporting.files import write

NOT_TESTED, INTERRUPTED = 2, 130


def main() -> int:
    options = read_options(__doc__)
    if options.schema:
        print(json.dumps(Report.model_json_schema(), indent=1))
    elif options.list:
        listing(ALL)
    elif options.explain:
        explain(item for item in ALL if options.explain in (item.id, item.module()))
    else:
        return test(options)
    return 0


def test(options: Namespace) -> int:
    try:
        words = find(options)
        options.report.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            # The container, which has a user of its own, must be able to read the folder.
            Path(folder).chmod(0o755)
            report = run_all(options, Path(folder), words)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, subprocess.SubprocessError, httpx.HTTPError) as error:
        print(f"nothing was tested: {error}", file=sys.stderr)
        return NOT_TESTED
    return EXIT_CODES[report.outcome]


def find(options: Namespace) -> str:
    """A description of what is tested. Raises an error that `test` prints if it is not there."""
    if options.orchestrator:
        ask(options.orchestrator, "--orchestrator")
    if options.url:
        ask(f"{options.ops}/health", "--ops")
        told = Remote(options.url, options.ops).metric("byoc_capacity")
        options.capacity = int(told or options.capacity)
        return f"the container at {options.url}"
    if not options.image:
        return "a container of this folder"
    command = ["docker", "image", "inspect", "--format={{.Id}}", options.image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())
    # By its id, because the name could be given to another image meanwhile.
    name, options.image = options.image, done.stdout.strip()
    return f"the image {name} ({options.image[:19]})"


def ask(url: str, option: str) -> None:
    try:
        httpx.get(url, timeout=10, verify=False)
    except httpx.HTTPError as error:
        raise OSError(f"there is no answer from {url} (see {option}): {error}") from None


def run_all(options: Namespace, folder: Path, words: str) -> Report:
    """The report is written as each item ends."""
    report = Report(
        started=datetime.now(UTC),
        target=words,
        quick=options.quick,
        capacity=options.capacity,
        only=options.only,
    )
    conclude(report, finished=False)
    since = time.monotonic()
    chosen, order = choose(ALL, options.only), [item.id for item in ALL]
    with Lab(options, folder) as lab, Progress(report, len(chosen), options.report) as progress:
        for finding in run(chosen, lab, progress.begin):
            report.items = sorted([*report.items, finding], key=lambda item: order.index(item.id))
            report.seconds = round(time.monotonic() - since, 1)
            conclude(report, finished=len(report.items) == len(chosen))
            write(options.report, report, html=render(report), md=markdown(report))
            progress.end(finding)
    return report


if __name__ == "__main__":
    sys.exit(main())
