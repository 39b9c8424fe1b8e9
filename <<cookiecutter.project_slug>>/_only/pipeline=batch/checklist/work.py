"""What sessions are here: jobs, which last as long as the model is ordered to wait."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import httpx

from .callers import Callers, calling
from .lab import ACTIVE, PATIENCE_SECONDS, Lab
from emulator.container import Container, eventually

# For a request whose body does not come, the shorter the better here.
IMPATIENT = {"BYOC_BODY_TIMEOUT_SECONDS": "2"}


@contextmanager
def lasting_sessions(lab: Lab, container: Container, count: int) -> Iterator[Callers]:
    """They last until orders are withdrawn: one job each, and then others."""
    with lab.order("wait"), calling(lab.options, container, count) as callers:
        try:
            eventually(
                lambda: container.metric(ACTIVE) == count,
                f"{ACTIVE} of {count}, because so many jobs were sent",
                PATIENCE_SECONDS,
            )
            yield callers
        finally:
            lab.withdraw_orders()


def one_more(container: Container) -> httpx.Response:
    """The answer to who sends another job."""
    return container.jobs.post("/run", json={})


@contextmanager
def silent_caller(container: Container) -> Iterator[None]:
    """Somebody who announces a body and does not send it."""
    with closing(HTTPConnection("127.0.0.1", container.port)) as connection:
        connection.putrequest("POST", "/run")
        for name, value in container.jobs.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", "10")
        connection.endheaders()
        yield


def done(callers: Callers) -> int:
    """The jobs that were answered."""
    return sum(len(session.trace.arrived) for session in callers.sessions)


def lost(callers: Callers, container: Container) -> list[str]:
    """What was accepted, by the container's own log, and not answered when it was stopped."""
    outcomes = [event["outcome"] for event in container.events("job ended")]
    accepted = [outcome for outcome in outcomes if outcome != "capacity"]
    words = [f"a job that was accepted ended with {each}" for each in accepted if each != "ok"]
    if (answered := done(callers)) != len(accepted):
        words.append(f"{len(accepted)} jobs were accepted, {answered} answers came")
    return words
