"""Faults that the checklist orders while the model runs, each by a file of its name."""

import ctypes
import os
import resource
import time
from importlib import import_module
from pathlib import Path
from typing import Any

HOLD_SECONDS = 3.5  # longer than an orchestrator waits for /health
LOOK_SECONDS = 0.01
ROOM_BYTES, TOO_MUCH_BYTES = 2**26, 2**30


def given(order: str) -> bool:
    return Path(os.environ["CHECKLIST_ORDERS"], order).exists()


def obey() -> None:
    """Before each call of the owner's model."""
    while given("wait"):
        time.sleep(LOOK_SECONDS)
    if given("hold"):
        # In C, without giving up the interpreter lock.
        ctypes.PyDLL(None).usleep(int(HOLD_SECONDS * 1_000_000))
    if given("exhaust"):
        exhaust()


def exhaust() -> None:
    """Ask for more memory than this process may have: MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM_BYTES, before[1]))
    try:
        bytearray(TOO_MUCH_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Standin:
    """Does what the real one does, but for what is defined here."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FaultyModel(Standin):
    """The real one is the owner's, which the container would have run."""

    def __init__(self) -> None:
        module, _, name = os.environ["CHECKLIST_MODEL"].partition(":")
        super().__init__(getattr(import_module(module), name)())

    def load(self, weights: Path) -> None:
        while given("load"):
            time.sleep(LOOK_SECONDS)
        self._real.load(weights)
