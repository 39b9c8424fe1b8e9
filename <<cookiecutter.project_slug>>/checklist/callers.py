"""Callers of a container while an item is checked: the load test's sessions, on a thread."""

import asyncio
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread

from .lab import PATIENCE_SECONDS, soon
from emulator.container import Container
from load_test.traces import Trace
from load_test.traffic import Session, Traffic


class Callers:
    """Sessions that are open until `end`; after that `traces` has their results."""

    def __init__(self, options: Namespace, count: int) -> None:
        self.sessions: Sequence[Session] = ()
        self.traces: list[Trace] = []
        self._begun, self._failure = Event(), ""
        self._thread = Thread(target=self._work, args=(options, count), name="callers", daemon=True)
        self._thread.start()
        self._begun.wait(PATIENCE_SECONDS)

    def wait_answered(self) -> None:
        """Wait until each session has its first answer, or will get none."""
        soon(
            lambda: all(session.answered.is_set() for session in self.sessions) or self._failure,
            "an answer to each session",
        )

    def end(self) -> None:
        """End the open sessions, and wait until all that was sent has come out."""
        for session in self.sessions:
            with suppress(RuntimeError):  # all have ended, and the loop with them
                self._loop.call_soon_threadsafe(session.end)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), f"sessions are still open after {PATIENCE_SECONDS} s"
        assert not self._failure, self._failure

    @property
    def troubles(self) -> list[str]:
        """The refusals and errors of the sessions so far."""
        traces = [session.trace for session in self.sessions]
        return [words for trace in traces for words in (*trace.refused, *trace.errors)]

    def _work(self, options: Namespace, count: int) -> None:
        try:
            asyncio.run(self._call(options, count))
        except Exception as error:
            self._failure = repr(error)
        finally:
            self._begun.set()

    async def _call(self, options: Namespace, count: int) -> None:
        self._loop = loop = asyncio.get_running_loop()
        async with Traffic(options) as traffic:
            self.sessions = await traffic.prepare(count)
            tasks = [asyncio.create_task(session.run()) for session in self.sessions]
            begin = loop.time()
            self._begun.set()
            await asyncio.wait(tasks)
            self.traces = await traffic.traces(self.sessions, begin, loop.time())


@contextmanager
def calling(
    options: Namespace, container: Container, count: int, orchestrator: str | None = None
) -> Iterator[Callers]:
    """Open `count` sessions, through the orchestrator if one is given; end them at the end."""
    way = {"url": str(container.jobs.base_url).rstrip("/"), "orchestrator": orchestrator}
    callers = Callers(Namespace(**vars(options) | way), count)
    try:
        yield callers
    finally:
        callers.end()
