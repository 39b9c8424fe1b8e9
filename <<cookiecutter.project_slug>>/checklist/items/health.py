"""Health under load.

Orchestrators wait 3 s for each poll of a static runner, and end all its sessions after one failure.
"""

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event

from ..callers import calling
from ..item import FailedError, Item
from ..lab import Lab, soon, total
from .start import Ready
from emulator.container import POLL_SECONDS, Container
from load_test.level import RESTARTS
from load_test.scraper import Scraper, repeating
from reporting.words import count

POLLS, PAUSE_SECONDS = 10, 0.1  # polls in each item at least, and the pause between them
FULL_SECONDS = 30  # because orchestrators poll every 5 s
TOO_LONG = POLL_SECONDS + 0.5  # a stop of this length fails a poll
FRAMES = "byoc_frames_in_total"
CONNECTIONS, FLOODERS = 200, 8
GARBAGE = b"POST /\x00 HTTP/9.9\r\n" + 4096 * b"x"


@contextmanager
def watched(container: Container) -> Iterator[list[str]]:
    """Poll health as orchestrators do, only more often. The list gets what was seen.

    Raises FailedError if a poll fails.
    """
    seen: list[str] = []
    scraper = Scraper(str(container.ops.base_url))
    with repeating("health", scraper.poll, PAUSE_SECONDS):
        yield seen
        soon(lambda: len(scraper.polls) > POLLS, "polls of /health")
    if scraper.misses:
        first = scraper.misses[0]
        words = f"{len(scraper.misses)} of {len(scraper.polls)} polls failed, the first one with"
        raise FailedError(f"{words} {first.words}")
    seen.append(f"{len(scraper.polls)} polls of /health were answered with ok within 3 s")


class HealthUnderLoad(Item):
    """Healthy under full load.

    `/health` is ok while all places are taken and other callers are refused.

    Why: go-livepeer polls a static runner every 5 s, waits 3 s, and ends all its sessions after one
    failure. https://github.com/livepeer/go-livepeer/blob/v0.9.1/ai/runner/live_runner.go

    Fix: answer `/health` from a thread of its own, from a state that other threads have written.
    """

    needs = (Ready,)
    target = "running"

    def check(self, lab: Lab) -> str:
        container = lab.running()
        with watched(container) as it, calling(lab.options, container, lab.capacity + 1) as callers:
            callers.wait_answered()
            time.sleep(POLL_SECONDS if lab.quick else FULL_SECONDS)
        return f"{it[0]}, with {count(lab.capacity, 'session')} and one more that was refused"


class HealthWithLock(Item):
    """Healthy while the interpreter lock is held.

    `/health` is ok while the model holds the interpreter lock for longer than a poll waits.

    Why: C extensions hold it while they load, copy or compile, and then no other thread of that
    process runs. https://docs.python.org/3/glossary.html#term-global-interpreter-lock

    Fix: run the model in a process of its own.
    """

    needs = (HealthUnderLoad,)

    def check(self, lab: Lab) -> str:
        container = lab.running()
        before = total(container, FRAMES)
        with lab.order("hold"), calling(lab.options, container, 1):
            soon(lambda: total(container, FRAMES) > before, "the model gets something to work on")
            with watched(container) as seen:
                time.sleep(TOO_LONG)
        return seen[0]


class HealthOffInference(Item):
    """Health is answered off the inference thread.

    `/health` is ok while the model's process is stopped.

    Why: if the thread of the model answers `/health`, it waits for the model, and a busy container
    looks like a dead one. https://sre.google/sre-book/addressing-cascading-failures/

    Fix: answer `/health` in another process than the model's.
    """

    needs = (HealthUnderLoad,)

    def check(self, lab: Lab) -> str:
        container = lab.running()
        container.signal_model(signal.SIGSTOP)
        try:
            with watched(container) as seen:
                time.sleep(TOO_LONG)
        finally:
            container.signal_model(signal.SIGCONT)
        return seen[0]


class HealthDuringRestart(Item):
    """Healthy while the model restarts.

    `/health` stays ok while the model's process is killed and replaced.

    Why: a crash loses one job or a few frames, but a failed poll loses all sessions.
    https://github.com/livepeer/go-livepeer/blob/v0.9.1/ai/runner/live_runner.go

    Fix: stay ok while sessions are open, and refuse new ones until the model is back.
    """

    needs = (HealthUnderLoad,)

    def check(self, lab: Lab) -> str:
        container = lab.running()
        before, killed = total(container, RESTARTS), container.worker()
        with watched(container) as seen:
            container.signal_model()
            soon(lambda: container.worker() != killed, "another process of the model")
        if container.metric(RESTARTS) != before + 1:
            raise FailedError(f"{RESTARTS} does not count the restart")
        return seen[0]


class HealthUnderFlood(Item):
    """Healthy while the job port is flooded.

    `/health` is ok while the job port is flooded with connections and garbage.

    Why: otherwise anybody who reaches the job port could end all sessions.
    https://owasp.org/www-community/attacks/Denial_of_Service

    Fix: serve health on a port of its own with an event loop of its own.
    """

    needs = (HealthUnderLoad,)

    def check(self, lab: Lab) -> str:
        container = lab.running()
        with watched(container) as seen, flood(container):
            time.sleep(POLL_SECONDS)
        return f"{seen[0]}, with {CONNECTIONS} idle connections and {FLOODERS} senders of garbage"


@contextmanager
def flood(container: Container) -> Iterator[None]:
    """Open idle connections, and repeatedly send garbage instead of HTTP on others."""
    url = container.jobs.base_url
    address, done = (url.host, url.port or 80), Event()

    def send() -> None:
        while not done.is_set():
            with suppress(OSError), closing(socket.create_connection(address, POLL_SECONDS)) as it:
                it.sendall(GARBAGE)

    with ExitStack() as stack, ThreadPoolExecutor(FLOODERS) as pool:
        for _ in range(CONNECTIONS):
            stack.enter_context(closing(socket.create_connection(address, POLL_SECONDS)))
        for _ in range(FLOODERS):
            pool.submit(send)
        try:
            yield
        finally:
            done.set()
    # Answered only after everything that was sent before.
    container.jobs.get("/health").raise_for_status()
