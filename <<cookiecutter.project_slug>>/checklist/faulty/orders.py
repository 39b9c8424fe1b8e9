"""Faults that the checklist orders while the model runs: each order is a file."""

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
    """Carry out the orders: called before each call of the owner's model."""
    while given("wait"):
        time.sleep(LOOK_SECONDS)
    if given("hold"):
        # In C, without releasing the interpreter lock.
        ctypes.PyDLL(None).usleep(int(HOLD_SECONDS * 1_000_000))
    if given("exhaust"):
        exhaust()


def exhaust() -> None:
    """Allocate more memory than this process may have, which raises MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM_BYTES, before[1]))
    try:
        bytearray(TOO_MUCH_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Standin:
    """Passes on every attribute that is not defined here to the real object."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FaultyModel(Standin):
    """A stand-in for the owner's model."""

    def __init__(self) -> None:
        module, _, name = os.environ["CHECKLIST_MODEL"].partition(":")
        super().__init__(getattr(import_module(module), name)())

    def load(self, weights: Path) -> None:
        while given("load"):
            time.sleep(LOOK_SECONDS)
        self._real.load(weights)
