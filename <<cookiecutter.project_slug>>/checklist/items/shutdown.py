"""Graceful shutdown.

What happens to open sessions when the container is stopped.
"""

import subprocess
import time

from ..item import FailedError, Item
from ..lab import KILL_SECONDS, Lab, soon
from ..work import lasting_sessions, lost
from .start import Ready
from emulator.container import Container

DRAIN_SECONDS = 3 * KILL_SECONDS
ECHO_SECONDS = 1.2  # signals within a second count as one


def wait_exit(container: Container, since: float) -> float:
    """Seconds from that moment until it exited with 0. Raises FailedError."""
    try:
        code = container.process.wait(since + KILL_SECONDS - time.monotonic())
    except subprocess.TimeoutExpired:
        raise FailedError(f"it still runs {KILL_SECONDS} s after SIGTERM") from None
    seconds = time.monotonic() - since
    if code:
        raise FailedError(f"it ended with exit code {code}, {seconds:.1f} s after SIGTERM")
    return seconds


def terminate(container: Container, event: str) -> float:
    """Send SIGTERM and wait for that event in the log; returns the moment of the signal."""
    since = time.monotonic()
    container.process.terminate()
    words = f"SIGTERM has an effect: {event!r} in the log"
    soon(lambda: container.events(event), words, KILL_SECONDS)
    return since


def stop(lab: Lab, container: Container, event: str) -> float:
    """Send SIGTERM and let jobs end; returns the seconds until the container exited."""
    since = terminate(container, event)
    lab.withdraw_orders()
    return wait_exit(container, since)


class StopWithSessions(Item):
    """SIGTERM closes all sessions and loses nothing.

    After SIGTERM the container sends all that it has accepted, closes every session and exits
    with 0.

    Why: Docker kills a container 10 s after SIGTERM, and viewers lose what it has not sent by
    then. https://docs.docker.com/reference/cli/docker/container/stop/

    Fix: handle SIGTERM, refuse new sessions, send what the open ones still hold, close their
    channels and exit within BYOC_SHUTDOWN_GRACE_SECONDS.
    """

    needs = (Ready,)

    def check(self, lab: Lab) -> str:
        with lab.start() as container:
            with lasting_sessions(lab, container, lab.capacity) as callers:
                seconds = stop(lab, container, "admission closed")
            if words := lost(callers, container):
                raise FailedError("; ".join(words))
        return f"{lab.capacity} sessions lost nothing, exit code 0 after {seconds:.1f} s"


class StopTwice(Item):
    """A second signal ends the drain.

    A second signal ends a drain: the container closes the open sessions, which lose nothing.

    Why: an operator who can't wait for the end of a long drain must not need to kill the container.
    https://docs.docker.com/reference/compose-file/services/#stop_grace_period

    Fix: on a second signal stop waiting for the sessions, and end them as without a drain.
    """

    needs = (StopWithSessions,)

    def check(self, lab: Lab) -> str:
        with lab.start(BYOC_DRAIN_SECONDS=str(DRAIN_SECONDS)) as container:
            with lasting_sessions(lab, container, 1) as callers:
                terminate(container, "admission closed")
                time.sleep(ECHO_SECONDS)
                if container.process.poll() is not None:
                    raise FailedError("it did not wait for the open session")
                seconds = stop(lab, container, "drain ended")
            if words := lost(callers, container):
                raise FailedError("; ".join(words))
        return f"a drain of {DRAIN_SECONDS} s ended {seconds:.1f} s after the signal, without loss"


class StopWhileLoading(Item):
    """SIGTERM while loading.

    SIGTERM while the model loads ends the container with exit code 0.

    Why: a rollback stops containers that are still loading, and one that can't be stopped keeps
    the GPU. https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/

    Fix: load the model where a signal can interrupt it: not on the thread that handles signals.
    """

    needs = (Ready,)

    def check(self, lab: Lab) -> str:
        with lab.order("load"), lab.launch() as container:
            since = time.monotonic()
            container.process.terminate()
            return f"exit code 0 after {wait_exit(container, since):.1f} s"
