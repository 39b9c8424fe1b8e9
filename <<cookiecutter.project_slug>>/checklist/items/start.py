"""Start.

From the first instant to the first answer.
"""

import json
import statistics
import time
from contextlib import suppress

import httpx

from ..callers import calling
from ..item import FailedError, Item, SkippedError
from ..lab import PATIENCE_SECONDS, Lab, health_polls
from ..work import one_more
from .image import ReadOnlyRoot
from emulator.container import Container, StartError, eventually

POLLS = 5  # while the model is kept from loading
USUAL = 3  # sessions, for what a first answer usually takes
FACTOR, SECONDS = 5, 2  # a first answer may take so many times as long, and so much longer
WRONG = {"BYOC_CAPACITY": "none"}


def first_answer(lab: Lab, container: Container) -> float:
    """How many seconds it takes in a new session. Raises FailedError."""
    with calling(lab.options, container, 1) as callers:
        callers.wait_answered()
        (trace,) = (session.trace for session in callers.sessions)
        if callers.troubles or trace.first_seconds is None:
            raise FailedError(
                f"a session is not served: {' '.join(callers.troubles) or 'no answer'}"
            )
    return trace.first_seconds


def refuses_to_start(lab: Lab, **settings: str) -> str:
    """The line that it ends with. Raises FailedError."""
    try:
        with lab.start(ready=False, **settings) as container:
            container.wait_ready()
    except StartError as error:
        lines = error.log.splitlines()
        names = [name for name in settings if name in error.log]
        if error.exit_code == 2 and len(lines) == len(names) == 1:
            return lines[0]
        told = f"exit code {error.exit_code}, {len(lines)} lines of log: {' '.join(lines)[:300]}"
        raise FailedError(f"it ends, but with {told}") from None
    raise FailedError("it starts all the same")


class Ready(Item):
    """`/health` is ok only once the model is loaded, and whoever calls then is served.

    Why: an orchestrator that finds the container healthy sends it sessions at once, and each one
    that fails costs reputation. https://docs.livepeer.org

    Fix: report `loading` with status 503 until `load` has returned.
    """

    id = "ready"
    title = "Healthy only when it can serve"
    needs = (ReadOnlyRoot,)
    target = "running"

    def check(self, lab: Lab) -> str:
        if lab.options.url:
            return f"a session was answered after {first_answer(lab, lab.running()):.1f} s"
        with lab.order("load"), lab.start(ready=False) as container:
            with health_polls(container, POLLS) as scraper:
                pass
            if len(scraper.misses) < len(scraper.polls):
                raise FailedError("/health is ok before the model is loaded")
            lab.withdraw_orders()
            container.wait_ready()
            seconds = first_answer(lab, container)
        return (
            f"{len(scraper.polls)} polls were refused while the model was loading, then a session "
            f"was answered after {seconds:.1f} s"
        )


ITEMS = (Ready,)
