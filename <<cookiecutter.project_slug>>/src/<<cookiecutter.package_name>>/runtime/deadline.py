"""A deadline that a signal brings forward, with progress reported while something is awaited."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

REPORT_SECONDS = 10


class Deadline:
    """`seconds` from now, or the next of `signals` if that comes sooner."""

    def __init__(self, seconds: float, signals: asyncio.Queue[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds
        self._signal = asyncio.create_task(signals.get())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the next signal to whoever waits after this."""
        self._signal.cancel()

    @property
    def cause(self) -> str:
        """The name of the signal that ended it, else `deadline`."""
        return self._signal.result() if self._signal.done() else "deadline"

    async def wait_for(
        self,
        event: Coroutine[Any, Any, object],
        reserve: float = 0,
        report: Callable[[float], None] = lambda left: None,
    ) -> bool:
        """False when the event has not come `reserve` seconds before the deadline: it is cancelled.

        `report` is called with the seconds that are left, every REPORT_SECONDS.
        """
        task = asyncio.create_task(event)
        try:
            await asyncio.wait([task], timeout=0)
            while not task.done() and (left := self._left(reserve)):
                report(left)
                await asyncio.wait(
                    [task, self._signal],
                    timeout=min(left, REPORT_SECONDS),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if task.done():
                await task
            return task.done()
        finally:
            task.cancel()

    def _left(self, reserve: float) -> float:
        """Seconds, 0 at least."""
        return 0 if self._signal.done() else max(0, self._end - reserve - self._loop.time())
