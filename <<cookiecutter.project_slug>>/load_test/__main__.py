"""How many sessions does this container hold? Runs more and more, and says what to set."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from httpx import HTTPError

from .level import LoadTestError
from .options import read_options
from .report import Report
from .run import run
from .search import exit_code
from .target import ended, open_target
from .traffic import Traffic
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
        return fail(f"the ops port does not answer at {options.ops}, see --ops: {error}")
    except (CallError, LoadTestError, OSError) as error:
        return fail(str(error))
    return exit_code(report)


def fail(words: str) -> int:
    print(words, file=sys.stderr)
    return NOT_MEASURED


if __name__ == "__main__":
    sys.exit(main())
