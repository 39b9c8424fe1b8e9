"""Registration.

What an orchestrator knows about the container, from its start to its stop.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx

from ..callers import calling
from ..item import FailedError, Item, SkippedError
from ..lab import ACTIVE, Lab, soon
from ..orchestrator import clear, lose, offers
from ..registration_settings import registration_settings
from ..work import MORE, done, lasting_sessions
from .shutdown import terminate
from .start import Ready, first_answer
from emulator.container import Container
from load_test.target import LOOPBACK

DRAIN = {"BYOC_DRAIN_SECONDS": "60"}


@contextmanager
def known(lab: Lab, **settings: str) -> Iterator[Container]:
    """A container that the orchestrator did not offer before and offers now; stopped at the end."""
    if not lab.options.orchestrator:
        raise SkippedError("no orchestrator was named: see --orchestrator")
    clear(lab.options)
    where = urlsplit(lab.options.container_url)
    port = where.port or 80
    host = "127.0.0.1" if where.hostname in LOOPBACK else "0.0.0.0"
    ports = {"BYOC_HOST": host, "BYOC_PORT": str(port), "BYOC_OPS_PORT": str(port + 1)}
    with lab.start(**ports, **registration_settings(lab.options), **settings) as container:
        wait_offered(lab)
        yield container
        container.stop()


def wait_offered(lab: Lab) -> None:
    soon(lambda: offers(lab.options), "the orchestrator offers the container, which is healthy")


def served(lab: Lab, container: Container) -> str:
    seconds = first_answer(lab, container, lab.options.orchestrator)
    return f"a session was answered after {seconds:.1f} s"


def refusal(lab: Lab, container: Container) -> str:
    """What a new caller is answered through the orchestrator. Raises FailedError if admitted."""

    def admitted() -> bool:
        with suppress(httpx.HTTPError):
            return container.metric(ACTIVE) == 2
        return False

    with calling(lab.options, container, 1, lab.options.orchestrator) as callers:
        soon(lambda: callers.troubles or admitted(), "a refusal")
        if not callers.troubles:
            lab.withdraw_orders()
            raise FailedError("after SIGTERM a new session is admitted")
        return callers.troubles[0]


class Registered(Item):
    """Is offered once it has started.

    The orchestrator offers a container that has started, and a session through it is answered.

    Why: an orchestrator sends nobody to a container that it does not know or reach.
    https://github.com/livepeer/go-livepeer/tree/v0.9.1

    Fix: set the addresses of the orchestrator and of the container, as docs/orchestrator.md says.
    """

    needs = (Ready,)

    def check(self, lab: Lab) -> str:
        with known(lab) as container:
            return f"it was offered, and {served(lab, container)}"


class RegisteredAgain(Item):
    """Is offered again after it was forgotten.

    A container that the orchestrator has forgotten registers again by itself, and serves.

    Why: orchestrators forget containers that sent nothing or were unreachable, and do not report
    it. https://github.com/livepeer/go-livepeer/tree/v0.9.1

    Fix: keep registering while the container runs, also after a refusal, and stay healthy.
    """

    needs = (Registered,)

    def check(self, lab: Lab) -> str:
        with known(lab) as container:
            lose(lab.options, container)
            wait_offered(lab)
            return f"it was lost and offered again, and {served(lab, container)}"


class Drained(Item):
    """Loses no session when it is drained.

    After SIGTERM the container refuses new sessions, serves the open one to its end, and exits
    with 0.

    Why: then an update of the container ends no session.
    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination

    Fix: first refuse new sessions; stay healthy and reachable until the last one has ended.
    """

    needs = (Registered,)

    def check(self, lab: Lab) -> str:
        through = lab.options.orchestrator
        settings = {"BYOC_CAPACITY": str(max(2, lab.capacity)), **DRAIN}
        with known(lab, **settings) as container:
            with lasting_sessions(lab, container, 1, through) as callers:
                terminate(container, "admission closed")
                told, enough = refusal(lab, container), done(callers) + MORE
                lab.withdraw_orders()
                words = "the open session goes on"
                soon(lambda: done(callers) >= enough or callers.troubles, words)
                if done(callers) < enough:
                    raise FailedError(f"the open session is lost: {callers.troubles[0]}")
            if code := container.wait_exit():
                raise FailedError(f"it ends with exit code {code}")
        return f"a new session was refused ({told}), the open one went on, then it exited with 0"


class Withdrawn(Item):
    """Is not offered once it has stopped.

    The orchestrator does not offer a container that has stopped.

    Why: callers that are sent to a stopped container get an error.
    https://github.com/livepeer/go-livepeer/tree/v0.9.1

    Fix: unregister before the exit, or stay, unhealthy, until the orchestrator has polled.
    """

    needs = (Registered,)

    def check(self, lab: Lab) -> str:
        with known(lab, **DRAIN) as container:
            container.stop()
            if offers(lab.options):
                raise FailedError("it has stopped, and the orchestrator still offers it")
        return "the orchestrator stopped offering it before it exited"
