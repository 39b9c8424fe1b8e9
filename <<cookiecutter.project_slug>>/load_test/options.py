"""What `python -m load_test` can be told."""

import runpy
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from .report import Objectives
from .traffic import LIMIT_MS, UNIT, add_options
from emulator.asking import base_url

SAMPLE = "tests/sample.py"
OPS_PORT = 8001
POSITIVE = ("every", "memory_gib", "timeout")
OBJECTIVES = ("limit_ms", "on_time_share", "headroom", "errors")


def read_options(description: str | None) -> Namespace:
    """`objectives` among them. What is sent is what SAMPLE says, unless the options do."""
    parser = ArgumentParser("python -m load_test", description=description)
    add = parser.add_argument_group("what is tested: a container started here, unless").add_argument
    add("--image", help="start this image instead")
    add("--url", type=address, help="the job port of a container that runs")
    add("--orchestrator", type=address, help="its address, to go through it to one that runs")
    add("--ops", type=address, help="the ops port of one that runs, if not 8001 at the same host")
    add("--token", default="", help="that of BYOC_AUTH_TOKEN")
    words = "a setting of the one that is started here; can be repeated"
    add("--set", metavar="BYOC_NAME=VALUE", type=setting, action="append", default=[], help=words)
    add = parser.add_argument_group("what is run").add_argument
    add("--sessions", type=natural, help="run so many and no others")
    add("--most", type=natural, default=64, help="try no more sessions than this: %(default)s")
    add("--seconds", type=natural, default=20, help="how long each level takes: %(default)s")
    add = parser.add_argument_group("what has to be met").add_argument
    words = f"a {UNIT} is on time within so many milliseconds: %(default)s"
    add("--limit-ms", type=float, default=LIMIT_MS, help=words)
    words = "the share on time, in every window of every session: %(default)s"
    add("--on-time-share", type=float, default=0.95, help=words)
    words = "the share of memory and time that is kept free: %(default)s"
    add("--headroom", type=float, default=0.1, help=words)
    add("--errors", type=int, default=0, help="how many are allowed in a level: %(default)s")
    add("--memory-gib", type=float, help="how much memory may be used, if not all there is")
    words = "the folder for the report: %(default)s"
    parser.add_argument("--report", type=Path, default="load-test", help=words)
    parser.add_argument("--schema", action="store_true", help="print the report's JSON schema")
    add_options(parser, runpy.run_path(SAMPLE))
    options = parser.parse_args()
    if sum(map(bool, (options.image, options.url, options.orchestrator))) > 1:
        parser.error("give one of --image, --url and --orchestrator")
    for name in POSITIVE:
        if (value := getattr(options, name, None)) is not None and not value > 0:
            parser.error(f"--{name.replace('_', '-')} {value}: must be more than 0")
    options.most = options.sessions or options.most
    host = urlsplit(options.url or options.orchestrator or "").hostname or ""
    host = f"[{host}]" if ":" in host else host
    options.ops = options.ops or f"http://{host}:{OPS_PORT}"
    options.memory_bytes = int((options.memory_gib or 0) * 1024**3)
    given = {name: getattr(options, name) for name in OBJECTIVES}
    try:
        options.objectives = Objectives(**given)
    except ValidationError as error:
        first = error.errors()[0]
        rule = first["msg"].replace("Input should", "must")
        parser.error(f"--{first['loc'][0]} {first['input']}: {rule}".replace("_", "-"))
    return options


def natural(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r}: must be a whole number, 1 or more")
    return int(text)


def address(text: str) -> str:
    if not text.startswith(("http://", "https://")) or not urlsplit(text).hostname:
        raise ArgumentTypeError(f"{text!r}: must be an address like http://127.0.0.1:8000")
    return base_url(text)


def setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name.startswith("BYOC_") or not value:
        raise ArgumentTypeError(f"{text!r}: must be BYOC_NAME=VALUE")
    return name, value
