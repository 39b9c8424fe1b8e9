"""The options of `python -m load_test`."""

from argparse import Namespace
from pathlib import Path

from pydantic import ValidationError

from .report import Objectives
from .traffic import LIMIT_MS, UNIT, add_options
from reporting.options import address, common_parser, natural, parsed

OBJECTIVES = ("limit_ms", "on_time_share", "headroom", "errors")


def read_options(description: str | None) -> Namespace:
    """The options; `objectives` are one of them."""
    parser = common_parser("load_test", description, Path("load-test"), add_options)
    words = "test a running container through the orchestrator at this address"
    parser.add_argument("--orchestrator", type=address, help=words)
    add = parser.add_argument_group("what is run").add_argument
    add("--sessions", type=natural, help="run this number of sessions and no other")
    add("--most", type=natural, default=64, help="try no more sessions than this: %(default)s")
    add("--seconds", type=natural, default=20, help="how long each level takes: %(default)s")
    add = parser.add_argument_group("what has to be met").add_argument
    words = f"up to this age in milliseconds a {UNIT} is on time: %(default)s"
    add("--limit-ms", type=float, default=LIMIT_MS, help=words)
    words = "the share on time, in every window of every session: %(default)s"
    add("--on-time-share", type=float, default=0.95, help=words)
    words = "the share of memory and time that is kept free: %(default)s"
    add("--headroom", type=float, default=0.1, help=words)
    add("--errors", type=int, default=0, help="errors allowed in a level: %(default)s")
    options = parsed(parser)
    if sum(map(bool, (options.image, options.url, options.orchestrator))) > 1:
        parser.error("give one of --image, --url and --orchestrator")
    options.most = options.sessions or options.most
    try:
        given = {name: getattr(options, name) for name in OBJECTIVES}
        options.objectives = Objectives(**given)
    except ValidationError as error:
        first = error.errors()[0]
        rule = first["msg"].replace("Input should", "must")
        parser.error(f"--{first['loc'][0]} {first['input']}: {rule}".replace("_", "-"))
    return options
