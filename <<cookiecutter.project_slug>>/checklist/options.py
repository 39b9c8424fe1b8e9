"""What `python -m checklist` can be told."""

import runpy
from argparse import ArgumentParser, Namespace
from pathlib import Path
from urllib.parse import urlsplit

from .items import ALL
from load_test.options import OPS_PORT, SAMPLE, address, natural, setting
from load_test.traffic import add_options


def read_options(description: str | None) -> Namespace:
    """What is sent is what SAMPLE says, unless the options do."""
    parser = ArgumentParser("python -m checklist", description=description)
    add = parser.add_argument_group("what is tested: a container started here, unless").add_argument
    add("--image", help="start this image instead")
    add("--url", type=address, help="the job port of a container that runs, which is only asked")
    add("--ops", type=address, help="the ops port of one that runs, if not 8001 at the same host")
    add("--token", default="", help="that of BYOC_AUTH_TOKEN")
    words = "sessions at once that you will advertise, as BYOC_CAPACITY: %(default)s"
    add("--capacity", type=natural, default=2, help=words)
    words = "another setting of what is started here; can be repeated"
    add("--set", metavar="BYOC_NAME=VALUE", type=setting, action="append", default=[], help=words)
    add("--memory-gib", type=float, help="how much memory may be used, if not all there is")
    add = parser.add_argument_group("with an orchestrator").add_argument
    add("--orchestrator", type=address, help="its address: the container registers there")
    add("--orchestrator-secret", type=Path, help="a file with its -orchSecret")
    words = "the job port, as the orchestrator reaches it: %(default)s"
    add("--container-url", type=address, default="http://127.0.0.1:8000", help=words)
    add = parser.add_argument_group("what is run").add_argument
    add("--quick", action="store_true", help="in about a minute: less load, no latency is judged")
    words = "an item or a group's items, with what they need; can be repeated"
    add("--only", metavar="ITEM", action="append", default=[], help=words)
    words = "the folder for the report: %(default)s"
    add("--report", type=Path, default=Path("checklist-report"), help=words)
    add = parser.add_argument_group("what is only told").add_argument
    add("--list", action="store_true", help="all items")
    add("--explain", metavar="ITEM", help="what it proves, why it matters, what to do if it fails")
    add("--schema", action="store_true", help="the report's JSON schema")
    add_options(parser, runpy.run_path(SAMPLE))
    options = parser.parse_args()
    if options.image and options.url:
        parser.error("give one of --image and --url")
    known = {item.id for item in ALL} | {item.module() for item in ALL}
    for name in [*options.only, *filter(None, [options.explain])]:
        if name not in known:
            parser.error(f"{name}: there is no such item: see --list")
    if options.memory_gib is not None and not options.memory_gib > 0:
        parser.error(f"--memory-gib {options.memory_gib}: must be more than 0")
    host = urlsplit(options.url or "").hostname or ""
    host = f"[{host}]" if ":" in host else host
    options.ops = options.ops or f"http://{host}:{OPS_PORT}"
    return options
