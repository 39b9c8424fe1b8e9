"""Which signals stop the container, and which of them count.

This module imports little, because the kernel withholds stop signals from process 1 until
`exit_at_once` has set handlers.
"""

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# `uv run`, terminals and process groups deliver one signal twice, within milliseconds.
ECHO_SECONDS = 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stop_signals() -> list[signal.Signals]:
    """A SIGHUP that was ignored at the start stays ignored, as under `nohup`."""
    numbers = list(STOP_SIGNALS)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    return numbers


def exit_at_once() -> None:
    """Have a stop signal end the process with exit code 0, until there is something to end."""
    for number in stop_signals():
        signal.signal(number, lambda *_: os._exit(0))


class StopSignals:
    """Calls `on_signal` with the name of each stop signal that counts.

    One that comes within ECHO_SECONDS of the last that counted does not count.
    """

    def __init__(self, loop: "AbstractEventLoop", on_signal: Callable[[str], None]) -> None:
        self._loop = loop
        self._on_signal = on_signal
        self._numbers = stop_signals()
        self._last = float("-inf")
        for number in self._numbers:
            loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        now = self._loop.time()
        if now - self._last >= ECHO_SECONDS:
            self._last = now
            self._on_signal(number.name)

    def ignore(self) -> None:
        """Ignore stop signals from now on, because the container has stopped."""
        for number in self._numbers:
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
