"""Start.

From the start to the first answer.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import httpx

from ..callers import calling
from ..item import FailedError, Item, SkippedError
from ..lab import Lab, total
from ..work import one_more
from .image import ReadOnlyRoot
from emulator.container import Container, StartError
from load_test.target import last_words

POLLS = 5  # while the model is kept from loading
FACTOR, SECONDS = 5, 3  # a first answer may take 5 times as long as others, and 3 s more
UNPROCESSED = "byoc_frames_unprocessed_total"  # which batch has none of
GPU = Path("/dev/nvidiactl")


def first_answer(lab: Lab, container: Container, orchestrator: str | None = None) -> float:
    """Seconds to the first answer in a new session. Raises FailedError."""
    before = total(container, UNPROCESSED)
    with calling(lab.options, container, 1, orchestrator) as callers:
        callers.wait_answered()
        (trace,) = (session.trace for session in callers.sessions)
    if callers.troubles or trace.first_seconds is None:
        words = " ".join(callers.troubles) or "no answer came"
        raise FailedError(f"a session is not served: {words}")
    if passed := total(container, UNPROCESSED) - before:
        words = f"the model failed on {passed:g} frames, which came out unprocessed"
        raise FailedError(f"{words}: {last_words(container.log())}")
    return trace.first_seconds


def refuse_to_start(lab: Lab, **settings: str) -> str:
    """The one line with which it exits, which names the setting. Raises FailedError."""
    try:
        with lab.launch(**settings) as container:
            container.wait_ready()
    except StartError as error:
        lines = error.log.splitlines()
        if error.exit_code == 2 and len(lines) == 1 and all(name in lines[0] for name in settings):
            return lines[0]
        told = f"exit code {error.exit_code} and {len(lines)} lines of log: {' '.join(lines)[:300]}"
        raise FailedError(f"the container ends with {told}") from None
    raise FailedError("the container starts all the same")


class Startup(NamedTuple):
    """What was seen while the model was kept from loading, and right after."""

    health: list[httpx.Response]
    live: httpx.Response
    refusal: httpx.Response
    first_seconds: float
    usual_seconds: float


@cache
def startup(lab: Lab) -> Startup:
    """Watch the start of the container that other items use. Raises FailedError or StartError."""
    with lab.order("load"):
        container = lab.running(ready=False)
        health = [container.ops.get("/health") for _ in range(POLLS)]
        live, refusal = container.ops.get("/livez"), one_more(container)
    container.wait_ready()
    return Startup(
        health, live, refusal, first_answer(lab, container), first_answer(lab, container)
    )


class Ready(Item):
    """Healthy only when it can serve.

    `/health` is ok only after the model has loaded, and the container then serves a session.

    Why: orchestrators send sessions as soon as the container is healthy, and each one that fails
    costs the orchestrator its reputation. https://github.com/livepeer/go-livepeer/blob/v0.9.1/ai/runner/live_runner.go

    Fix: fix what the log says about the session. If `/health` was ok too early, answer 503 until
    `load` has returned.
    """

    needs = (ReadOnlyRoot,)
    target = "running"

    def check(self, lab: Lab) -> str:
        if lab.options.url:
            return f"a session was answered after {first_answer(lab, lab.running()):.1f} s"
        seen = startup(lab)
        if any(answer.is_success for answer in seen.health):
            raise FailedError("/health is ok before the model has loaded")
        polls = f"{POLLS} polls were refused while the model was kept from loading"
        return f"{polls}, and then a session was answered after {seen.first_seconds:.1f} s"


class Warm(Item):
    """The first session is not slower.

    The first session after a start is answered about as fast as later ones.

    Why: a model that compiles, allocates or downloads at its first inference makes the first
    viewer wait, after every restart.
    https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html#model-warmup

    Fix: run one real inference in `load`.
    """

    needs = (Ready,)

    def check(self, lab: Lab) -> str:
        first, usual = startup(lab).first_seconds, startup(lab).usual_seconds
        told = f"the first session was answered after {first:.1f} s, the next after {usual:.1f} s"
        if first > FACTOR * usual + SECONDS:
            raise FailedError(told)
        return told


class Loading(Item):
    """Loading is visible.

    While the model loads, `/health` says `loading`, `/livez` is ok, and sessions are refused.

    Why: an operator who can't tell a slow load from a hang kills a container that would serve.
    https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/

    Fix: listen before the model loads, answer `/health` with 503 `{"status": "loading"}` and
    sessions with 503 and Retry-After.
    """

    needs = (Ready,)

    def check(self, lab: Lab) -> str:
        seen, health = startup(lab), startup(lab).health[-1]
        for what, answer, status in (("/health", health, 503), ("/livez", seen.live, 200)):
            if answer.status_code != status:
                raise FailedError(f"{what} answers {answer.status_code} {answer.text}")
        if health.json().get("status") != "loading":
            raise FailedError(f"/health does not say `loading`, but {health.text}")
        refusal, after = seen.refusal, seen.refusal.headers.get("Retry-After")
        if refusal.status_code != 503 or not after:
            raise FailedError(f"a session is answered {refusal.status_code} {refusal.text}")
        return f"/health: {health.text}; a session: 503, Retry-After {after}"


class WrongSetting(Item):
    """A wrong setting is refused in one line.

    A wrong setting ends the start with exit code 2 and one line that names the setting.

    Why: a container that ignores a mistyped value serves with a default that nobody chose, and a
    traceback forces its operator to read code. https://12factor.net/config

    Fix: check all settings before anything else, print one line to standard error, and exit
    with 2.
    """

    def check(self, lab: Lab) -> str:
        return refuse_to_start(lab, BYOC_CAPACITY="none")


class GpuRequired(Item):
    """Does not start without a required GPU.

    If a GPU is required and there is none, the container does not start.

    Why: a container whose model falls back to the CPU registers, gets sessions, and serves them too
    slowly to be paid. https://github.com/NVIDIA/nvidia-container-toolkit

    Fix: check for a GPU at the start when BYOC_REQUIRE_GPU is set, and exit with 2.
    """

    def check(self, lab: Lab) -> str:
        if GPU.exists():
            raise SkippedError(f"there is a GPU here: {GPU} exists")
        return refuse_to_start(lab, BYOC_REQUIRE_GPU="1")
