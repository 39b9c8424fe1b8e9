"""Faults.

A fault of the model must not end the container.
"""

from contextlib import nullcontext, suppress

from ..callers import calling
from ..item import FailedError, Item
from ..lab import Lab, soon, total
from .monitoring import Metrics
from .start import first_answer
from emulator.container import Container
from load_test.level import RESTARTS

TIME_LIMIT = {"BYOC_JOB_TIMEOUT_SECONDS": "2"}


def survives(lab: Lab, container: Container, error_type: str, order: str = "") -> str:
    """Give the model the order, or kill it, while a session is open. Raises FailedError."""
    errors, restarts = container.errors(error_type), total(container, RESTARTS)
    with calling(lab.options, container, 1) as callers:
        callers.wait_answered()
        if not order:
            container.signal_model()
        with lab.order(order) if order else nullcontext():
            words = f"the fault is counted as {error_type} in byoc_errors_total"
            soon(lambda: container.errors(error_type) > errors, words)
    words = f"{RESTARTS} counts that the model was replaced"
    soon(lambda: total(container, RESTARTS) > restarts, words)
    soon(lambda: serves(lab, container), "a session that is served")
    return f"it was counted as {error_type}, the model was replaced, and serves again"


def serves(lab: Lab, container: Container) -> bool:
    with suppress(FailedError):
        return bool(first_answer(lab, container))
    return False


class ModelKilled(Item):
    """The model is killed.

    When the model's process is killed, the container replaces it and continues to serve.

    Why: a segmentation fault in one library must not end all sessions.
    https://docs.nvidia.com/deploy/xid-errors/

    Fix: run the model in a process of its own, and restart it when it has ended.
    """

    needs = (Metrics,)

    def check(self, lab: Lab) -> str:
        return survives(lab, lab.running(), "worker_crash")


class ModelHung(Item):
    """The model hangs.

    When the model hangs, the container replaces its process after BYOC_JOB_TIMEOUT_SECONDS.

    Why: a deadlock raises no exception, so a session that waits for it would be lost silently.
    https://cwe.mitre.org/data/definitions/1088.html

    Fix: limit the time of each call of the model; after it, kill the process and restart it.
    """

    needs = (Metrics,)

    def check(self, lab: Lab) -> str:
        with lab.start(**TIME_LIMIT) as container:
            return survives(lab, container, "timeout", "wait")


class ModelOutOfMemory(Item):
    """The model runs out of memory.

    When the model runs out of memory, the container counts out_of_memory and replaces the process.

    Why: after that the process's allocator is fragmented and the next session fails too, and
    operators must see that the capacity is too high. https://pytorch.org/docs/stable/notes/cuda.html

    Fix: handle MemoryError apart from other errors: count it, and replace the process.
    """

    needs = (Metrics,)

    def check(self, lab: Lab) -> str:
        return survives(lab, lab.running(), "out_of_memory", "exhaust")
