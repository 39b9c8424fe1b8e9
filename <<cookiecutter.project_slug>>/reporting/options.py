"""Options of both programs: what is tested, what is sent, where the report goes."""

import runpy
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator.asking import base_url

SAMPLE = "tests/sample.py"
OPS_PORT = 8001
POSITIVE = ("every", "memory_gib", "timeout")


def common_parser(
    program: str,
    description: str | None,
    report: Path,
    add_options: Callable[[ArgumentParser, dict[str, Any]], None],
) -> ArgumentParser:
    """`add_options` adds the options of what is sent; their defaults are those of SAMPLE."""
    parser = ArgumentParser(f"python -m {program}", description=description)
    add = parser.add_argument_group("what is tested (default: one started here)").add_argument
    add("--image", help="start this image instead")
    add("--url", type=address, help="test a running container instead: its job port")
    add("--ops", type=address, help="its ops port, if it is not 8001 on the same host")
    add("--token", default="", help="the container's BYOC_AUTH_TOKEN")
    words = "a setting of the container that is started here; can be repeated"
    add("--set", metavar="NAME=VALUE", type=setting, action="append", default=[], help=words)
    add("--memory-gib", type=float, help="how much memory the container may use, if not all")
    words = "the folder for the report: %(default)s"
    parser.add_argument("--report", type=Path, default=report, help=words)
    parser.add_argument("--schema", action="store_true", help="print the report's JSON schema")
    add_options(parser, runpy.run_path(SAMPLE))
    return parser


def parsed(parser: ArgumentParser) -> Namespace:
    """The options, with `memory_bytes`, and with `ops` at the host of the container."""
    options = parser.parse_args()
    for name in POSITIVE:
        if (value := getattr(options, name, None)) is not None and not value > 0:
            parser.error(f"--{name.replace('_', '-')} {value}: must be more than 0")
    host = urlsplit(options.url or options.orchestrator or "").hostname or ""
    host = f"[{host}]" if ":" in host else host
    options.ops = options.ops or f"http://{host}:{OPS_PORT}"
    options.memory_bytes = int((options.memory_gib or 0) * 1024**3)
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
    if not name.startswith(("BYOC_", "MODEL_")) or not value:
        raise ArgumentTypeError(f"{text!r}: must be BYOC_...=VALUE or MODEL_...=VALUE")
    return name, value
