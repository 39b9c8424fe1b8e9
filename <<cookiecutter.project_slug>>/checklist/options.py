"""The options of `python -m checklist`."""

from argparse import Namespace
from pathlib import Path

from .items import ALL
from load_test.traffic import add_options
from reporting.options import address, common_parser, natural, parsed


def read_options(description: str | None) -> Namespace:
    parser = common_parser("checklist", description, Path("checklist-report"), add_options)
    words = "sessions at once that you will advertise, as BYOC_CAPACITY: %(default)s"
    parser.add_argument("--capacity", type=natural, default=2, help=words)
    add = parser.add_argument_group("with an orchestrator").add_argument
    add("--orchestrator", type=address, help="its address; the container is registered there")
    add("--orchestrator-secret", type=Path, help="a file with its -orchSecret")
    words = "the job port, as the orchestrator reaches it: %(default)s"
    add("--container-url", type=address, default="http://127.0.0.1:8000", help=words)
    add = parser.add_argument_group("what is run").add_argument
    add("--quick", action="store_true", help="a minute or two: less load, latency is not judged")
    words = "run this item or group, and the items that it needs; can be repeated"
    add("--only", metavar="ITEM", action="append", default=[], help=words)
    add = parser.add_argument_group("show instead of testing").add_argument
    add("--list", action="store_true", help="list all items")
    add("--explain", metavar="ITEM", help="what it proves, why it matters, what to do if it fails")
    options = parsed(parser)
    if options.image and options.url:
        parser.error("give one of --image and --url")
    known = {name for item in ALL for name in (item.id, item.module())}
    for name in [*options.only, *filter(None, [options.explain])]:
        if name not in known:
            parser.error(f"{name}: no such item, see --list")
    return options
