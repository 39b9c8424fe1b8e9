"""Sessions of this pipeline: jobs, which last as long as the model is ordered to wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import httpx

from .callers import Callers, calling
from .item import FailedError
from .lab import ACTIVE, REFUSE_SECONDS, Lab, soon
from emulator.container import Container

# Short, because the item waits until a request without a body times out.
IMPATIENT = {"BYOC_BODY_TIMEOUT_SECONDS": "2"}
ROUNDS = 20
MORE = 1  # answers that show that a session goes on


@contextmanager
def lasting_sessions(
    lab: Lab, container: Container, count: int, orchestrator: str | None = None
) -> Iterator[Callers]:
    """Sessions that last until orders are withdrawn: one job each, then further ones."""
    with lab.order("wait"), calling(lab.options, container, count, orchestrator) as callers:
        try:
            soon(
                lambda: container.metric(ACTIVE) == count,
                f"{ACTIVE} of {count}, because so many jobs were sent",
            )
            yield callers
        finally:
            lab.withdraw_orders()


def one_more(container: Container) -> httpx.Response:
    """The answer to another job."""
    return container.jobs.post("/run", json={}, timeout=REFUSE_SECONDS)


@contextmanager
def silent_caller(container: Container) -> Iterator[None]:
    """A caller that declares a body and does not send it."""
    with closing(HTTPConnection("127.0.0.1", container.port)) as connection:
        connection.putrequest("POST", "/run")
        for name, value in container.jobs.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", "10")
        connection.endheaders()
        yield


def done(callers: Callers) -> int:
    """How many jobs were answered."""
    return sum(len(session.trace.arrived) for session in callers.sessions)


def lost(callers: Callers, container: Container) -> list[str]:
    """Jobs that the container accepted, according to its log, and has not answered."""
    outcomes = [event["outcome"] for event in container.events("job ended")]
    accepted = [outcome for outcome in outcomes if outcome != "capacity"]
    words = [f"a job that was accepted ended with {each}" for each in accepted if each != "ok"]
    if (answered := done(callers)) != len(accepted):
        words.append(f"{len(accepted)} jobs were accepted, {answered} answers came")
    return words


def strangers(lab: Lab, container: Container) -> str:
    """Send jobs with different answers at once. Raises FailedError if one gets another's answer."""
    own = [f"job {number}" for number in range(ROUNDS * lab.capacity)]

    def echo(job: str) -> str:
        answer: str = container.jobs.post("/run", json=job).raise_for_status().json()
        return answer

    with lab.order("echo"), ThreadPoolExecutor(lab.capacity) as pool:
        wrong = [
            f"{job} got {got!r}"
            for job, got in zip(own, pool.map(echo, own), strict=True)
            if got != job
        ]
    if wrong:
        raise FailedError(f"{len(wrong)} of {len(own)} answers were another job's: {wrong[0]}")
    return f"{len(own)} jobs, {lab.capacity} at once, got the answers that were their own"
