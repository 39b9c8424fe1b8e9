"""Callers of a container while an item is checked: the load test's sessions, on a thread."""

import asyncio
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from .lab import PATIENCE_SECONDS, soon
from emulator.container import Container
from load_test.traces import Trace
from load_test.traffic import Session, Traffic


class Callers:
    """Sessions that are open from the start until `end`; then `traces` has what they met."""

    def __init__(self, options: Namespace, count: int) -> None:
        self.sessions: Sequence[Session] = ()
        self.traces: list[Trace] = []
        self._options = options
        self._count = count
        self._begun, self._failure = threading.Event(), ""
        self._thread = threading.Thread(target=self._work, name="callers", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._begun.wait(PATIENCE_SECONDS)

    def wait_answered(self) -> None:
        """Until each session has had its first answer, or will have none."""
        soon(
            lambda: all(session.answered.is_set() for session in self.sessions) or self._failure,
            "an answer to each session",
        )

    def end(self) -> list[Trace]:
        """Ends what is open, and waits until all that was sent has come out."""
        for session in self.sessions:
            with suppress(RuntimeError):  # all have ended, and the loop with them
                self._loop.call_soon_threadsafe(session.end)
        return self.join()

    def join(self) -> list[Trace]:
        """Waits until the sessions have ended."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), f"sessions are still open after {PATIENCE_SECONDS} s"
        assert not self._failure, self._failure
        return self.traces

    @property
    def troubles(self) -> list[str]:
        """What the sessions met so far."""
        found = [[*each.trace.refused, *each.trace.errors] for each in self.sessions]
        return [words for each in found for words in each]

    def _work(self) -> None:
        try:
            asyncio.run(self._call())
        except Exception as error:
            self._failure = repr(error)
        finally:
            self._begun.set()

    async def _call(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        async with Traffic(self._options) as traffic:
            self.sessions = await traffic.prepare(self._count)
            tasks = [asyncio.create_task(session.run()) for session in self.sessions]
            begin = loop.time()
            self._begun.set()
            await asyncio.wait(tasks)
            self.traces = await traffic.traces(self.sessions, begin, loop.time())


@contextmanager
def calling(
    options: Namespace, container: Container, count: int, orchestrator: str | None = None
) -> Iterator[Callers]:
    """So many, through the orchestrator if one is given; ended at the end, if not before."""
    url = str(container.jobs.base_url).rstrip("/")
    way = {"url": url, "orchestrator": orchestrator}
    callers = Callers(Namespace(**{**vars(options), **way}), count)
    callers.start()
    try:
        yield callers
    finally:
        callers.end()
