"""What `python -m load_test` can be told."""

import math
import runpy
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from .report import Objectives
from .traffic import LIMIT_MS, UNIT, add_options
from emulator.asking import base_url

SAMPLE = Path("tests") / "sample.py"
OPS_PORT = 8001
LEAST_SECONDS = 1


def read_options(description: str | None) -> Namespace:
    """`tests/sample.py` says what is sent, unless the options do."""
    parser = ArgumentParser("python -m load_test", description=description)
    target = parser.add_argument_group("what is tested: a container started here, unless you say")
    target.add_argument("--image", default="", help="start this image")
    target.add_argument("--url", type=base_url, default="", help="the job port of one that runs")
    target.add_argument("--orchestrator", type=base_url, default="", help="go through this one")
    target.add_argument("--ops", type=base_url, help="the ops port: 8001 at the same host")
    target.add_argument("--token", default="", help="that of BYOC_AUTH_TOKEN")
    words = "a setting of the container that is started here; can be repeated"
    target.add_argument(
        "--set", metavar="NAME=VALUE", type=setting, action="append", default=[], help=words
    )
    load = parser.add_argument_group("what is run")
    load.add_argument("--sessions", type=natural, help="this level alone: does it hold?")
    load.add_argument("--most", type=natural, default=64, help="no higher level: %(default)s")
    seconds = number(lambda value: value >= LEAST_SECONDS, f"{LEAST_SECONDS} or more")
    load.add_argument("--seconds", type=seconds, default=20, help="for a level: %(default)s")
    goal = parser.add_argument_group("what has to be met")
    words = f"milliseconds within which a {UNIT} is on time: %(default)s"
    goal.add_argument("--limit-ms", type=positive, default=LIMIT_MS, help=words)
    words = "the share on time, in every window of every session: %(default)s"
    goal.add_argument("--on-time", type=share, default=0.95, help=words)
    words = "the part of memory and time to be kept free: %(default)s"
    goal.add_argument("--headroom", type=share, default=0.1, help=words)
    goal.add_argument("--errors", type=int, default=0, help="allowed in a level: %(default)s")
    words = "memory that may be used, if not all there is"
    goal.add_argument("--memory-gib", type=positive, help=words)
    words = "the folder to write the report to: %(default)s"
    parser.add_argument("--report", type=Path, default=Path("load-test"), help=words)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema, and no more")
    add_options(parser, runpy.run_path(str(SAMPLE)))
    options = parser.parse_args()
    if sum(map(bool, (options.image, options.url, options.orchestrator))) > 1:
        parser.error("give one of --image, --url and --orchestrator")
    options.most = options.sessions or options.most
    if options.ops is None:
        host = urlsplit(options.url or options.orchestrator).hostname
        options.ops = f"http://{host}:{OPS_PORT}"
    return options


def objectives(options: Namespace) -> Objectives:
    return Objectives(
        limit_ms=options.limit_ms,
        on_time_share=options.on_time,
        headroom=options.headroom,
        errors=options.errors,
    )


def number(holds: Callable[[float], bool], rule: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not holds(value):
            raise ArgumentTypeError(f"{text!r}: must be {rule}")
        return value

    return parse


positive = number(lambda value: value > 0, "more than 0")
share = number(lambda value: 0 <= value < 1, "from 0 to less than 1")


def natural(text: str) -> int:
    return int(number(lambda value: value >= 1 and value.is_integer(), "1, 2, 3 ...")(text))


def setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name.startswith("BYOC_") or not value:
        raise ArgumentTypeError(f"{text!r}: must be BYOC_NAME=VALUE")
    return name, value
