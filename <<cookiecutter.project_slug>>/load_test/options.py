"""What `python -m load_test` can be told."""

import runpy
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from .report import Objectives
from .traffic import LIMIT_MS, UNIT, add_options
from emulator.asking import base_url

SAMPLE = "tests/sample.py"
OPS_PORT = 8001
OBJECTIVES = ("limit_ms", "on_time_share", "headroom", "errors")


def read_options(description: str | None) -> Namespace:
    """`objectives` among them. What is sent is what SAMPLE says, unless the options do."""
    style = ArgumentDefaultsHelpFormatter
    parser = ArgumentParser("python -m load_test", description=description, formatter_class=style)
    add = parser.add_argument_group("what is tested: a container started here, unless").add_argument
    add("--image", help="start this image")
    add("--url", type=base_url, help="the job port of one that runs")
    add("--orchestrator", type=base_url, help="go through this one, to a container that runs")
    add("--ops", type=base_url, help="the ops port of one that runs, if not 8001 at the same host")
    add("--token", default="", help="that of BYOC_AUTH_TOKEN")
    add("--set", type=setting, action="append", default=[], help="BYOC_NAME=VALUE, to start with")
    add = parser.add_argument_group("what is run").add_argument
    add("--sessions", type=natural, help="this level alone: does it hold?")
    add("--most", type=natural, default=64, help="no higher level")
    add("--seconds", type=natural, default=20, help="for a level")
    add = parser.add_argument_group("what has to be met").add_argument
    add("--limit-ms", type=float, default=LIMIT_MS, help=f"milliseconds for a {UNIT} to be back")
    add("--on-time-share", type=float, default=0.95, help="in every window of every session")
    add("--headroom", type=float, default=0.1, help="share of memory and time to be kept free")
    add("--errors", type=int, default=0, help="allowed in a level")
    add("--memory-gib", type=float, help="memory that may be used, if not all there is")
    parser.add_argument("--report", type=Path, default="load-test", help="folder for the report")
    parser.add_argument("--schema", action="store_true", help="print the report's JSON schema")
    add_options(parser, runpy.run_path(SAMPLE))
    options = parser.parse_args()
    if sum(map(bool, (options.image, options.url, options.orchestrator))) > 1:
        parser.error("give one of --image, --url and --orchestrator")
    options.most = options.sessions or options.most
    host = urlsplit(options.url or options.orchestrator or "").hostname
    options.ops = options.ops or f"http://{host}:{OPS_PORT}"
    options.memory_bytes = int((options.memory_gib or 0) * 1024**3)
    given = {name: getattr(options, name) for name in OBJECTIVES}
    try:
        options.objectives = Objectives(**given)
    except ValidationError as error:
        first = error.errors()[0]
        parser.error(f"--{first['loc'][0]} {first['input']}: {first['msg']}".replace("_", "-"))
    return options


def natural(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r}: must be 1 or more")
    return int(text)


def setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name.startswith("BYOC_") or not value:
        raise ArgumentTypeError(f"{text!r}: must be BYOC_NAME=VALUE")
    return name, value
