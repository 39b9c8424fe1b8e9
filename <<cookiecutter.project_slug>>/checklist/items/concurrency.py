"""Concurrency.

Several sessions at once, and one too many.
"""

import httpx

from ..item import FailedError, Item, SkippedError
from ..lab import ACTIVE, Lab, soon
from ..work import IMPATIENT, lasting_sessions, one_more, silent_caller, strangers
from .monitoring import Metrics
from .start import first_answer
from emulator.asking import NO_ROOM


class Capacity(Item):
    """The capacity is kept.

    The container admits as many sessions as its capacity, refuses the next one, and admits another
    one when a session has ended.

    Why: a session that the GPU has no memory for takes the memory of the running sessions.
    https://sre.google/sre-book/handling-overload/

    Fix: count sessions where they are admitted, refuse before anything is allocated, and free the
    place however the session ends.
    """

    needs = (Metrics,)

    def check(self, lab: Lab) -> str:
        container = lab.running()
        refused = container.errors("capacity")
        with lasting_sessions(lab, container, lab.capacity):
            try:
                answer = one_more(container)
            except httpx.TimeoutException:
                raise FailedError(f"one session more than {lab.capacity} is not refused") from None
        if answer.status_code not in NO_ROOM:
            words = f"{answer.status_code} {answer.text}"
            raise FailedError(f"one session more than {lab.capacity} was answered {words}")
        if container.errors("capacity") != refused + 1:
            raise FailedError("the refusal is not counted as `capacity` in byoc_errors_total")
        first_answer(lab, container)
        return f"{lab.capacity} admitted, one more got {answer.status_code}, later one was admitted"


class RetryAfter(Item):
    """Refusals say when to try again.

    A full container answers 503, and Retry-After says when to try again.

    Why: orchestrators and gateways read 503 as full and other errors as broken, and a caller that
    knows no time tries again at once. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after

    Fix: answer with 503 and Retry-After in seconds.
    """

    needs = (Capacity,)

    def check(self, lab: Lab) -> str:
        container = lab.running()
        with lasting_sessions(lab, container, lab.capacity):
            answer = one_more(container)
        after = answer.headers.get("Retry-After", "")
        if answer.status_code != 503 or not after.isdecimal():
            raise FailedError(f"the refusal is {answer.status_code} with Retry-After {after!r}")
        return f"503, Retry-After: {after}"


class Isolation(Item):
    """Sessions are isolated.

    No session gets pictures or answers of another session.

    Why: viewers would see the pictures of others, and callers get the answers of others.
    https://cwe.mitre.org/data/definitions/488.html

    Fix: keep the state of a session in an object of its own, never in the model or a module.
    """

    needs = (Metrics,)

    def check(self, lab: Lab) -> str:
        if lab.capacity == 1:
            raise SkippedError("with a capacity of 1 no two sessions are open at once")
        return strangers(lab, lab.running())


class SilentCaller(Item):
    """A silent caller frees its place.

    A caller who opens a session and then sends nothing loses the place after some time.

    Why: some callers disappear without ending their session, and would occupy the place for ever.
    https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9

    Fix: give every wait for a caller a time limit.
    """

    needs = (Capacity,)

    def check(self, lab: Lab) -> str:
        settings = {**IMPATIENT, "BYOC_CAPACITY": "1"}
        with lab.start(**settings) as container, silent_caller(container):
            soon(lambda: container.metric(ACTIVE), "the silent session opens")
            soon(lambda: not container.metric(ACTIVE), "the silent session ends")
            first_answer(lab, container)
        return f"the place is free with {' '.join('='.join(each) for each in IMPATIENT.items())}"
