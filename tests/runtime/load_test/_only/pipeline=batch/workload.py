"""Models whose limits are known, for load tests to find, and a job for them."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import memory
from my_model.runtime.interface.batch import Binary, Request

# A job takes so long, however fast the machine is, and callers wait for each other: what CAPACITY
# of them wait is within the limit, what one more would wait is not.
JOB_SECONDS, CAPACITY = 0.5, 3
SLOW = ("--limit-ms=1900",)
# Nothing is asked of the speed of the machine that runs the tests.
PATIENT = ("--limit-ms=60000", "--seconds=4")


def sample(folder: Path) -> Path:
    path = folder / "job.txt"
    path.write_text("a job")
    return path


class Plain:
    MAX_PARALLEL = 1

    def load(self, weights: Path) -> None:
        pass

    def predict(self, request: Request) -> Any:
        return Binary(bytes(request.body), "text/plain")

    def close(self) -> None:
        pass


class Slow(Plain):
    def predict(self, request: Request) -> Any:
        time.sleep(JOB_SECONDS)
        return super().predict(request)


class Hungry(Plain):
    """Takes memory for each job, as the stand-in for the driver reads it from a file."""

    MAX_PARALLEL = 16

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs = 0

    def predict(self, request: Request) -> Any:
        self._count(1)
        time.sleep(JOB_SECONDS)
        self._count(-1)
        return super().predict(request)

    def _count(self, jobs: int) -> None:
        with self._lock:
            self._jobs += jobs
            memory.take(self._jobs)


class Crashing(Plain):
    """Every hundredth job ends the process: the warm-up has fewer."""

    served = 0

    def predict(self, request: Request) -> Any:
        self.served += 1
        if self.served == 100:
            os.abort()
        time.sleep(0.1)
        return super().predict(request)
