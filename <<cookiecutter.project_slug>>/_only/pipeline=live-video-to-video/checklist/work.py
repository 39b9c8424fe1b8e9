"""Sessions of this pipeline: streams, each of which lasts until somebody ends it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from .callers import Callers, calling
from .item import FailedError, SkippedError
from .lab import REFUSE_SECONDS, Lab
from emulator.container import Container

# Short, because the item waits until a session without input times out.
IMPATIENT = {"BYOC_SESSION_IDLE_SECONDS": "2"}
MORE = 30  # frames that show that a session goes on: fewer may have been in flight
CUT = "the container ended the stream early"  # expected, because the container was stopped
STREAM_SECONDS = 2
NOWHERE = "http://127.0.0.1:9/input"


@contextmanager
def lasting_sessions(
    lab: Lab, container: Container, count: int, orchestrator: str | None = None
) -> Iterator[Callers]:
    """Sessions that last until the block ends."""
    with calling(lab.options, container, count, orchestrator) as callers:
        callers.wait_answered()
        yield callers


def one_more(container: Container, source: str = NOWHERE) -> httpx.Response:
    """The answer to the start of another session, which reads from that address."""
    headers = {"X-Stream-Id": "one-more"}
    body = {"subscribe_url": source}
    return container.jobs.post("/stream/start", json=body, headers=headers, timeout=REFUSE_SECONDS)


@contextmanager
def silent_caller(container: Container) -> Iterator[None]:
    """A caller that starts a session and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
        one_more(container, f"http://127.0.0.1:{port}/input").raise_for_status()
        yield


def done(callers: Callers) -> int:
    """How many frames came back and could be decoded."""
    return sum(len(session.sightings()) for session in callers.sessions)


def lost(callers: Callers, container: Container) -> list[str]:
    """Frames that the container accepted, according to its log, and has not sent."""
    ended = {event["session_id"]: event for event in container.events("session ended")}
    words = []
    for session in callers.sessions:
        words += [f"{session.id}: {error}" for error in session.trace.errors if error != CUT]
        if not (event := ended.get(session.id)):
            words.append(f"the log does not say how {session.id} ended")
            continue
        accepted = event["frames_in"] - sum(event["frames_dropped"].values())
        if (decoded := len(session.sightings())) != accepted:
            words.append(f"{session.id}: {accepted} frames were accepted, {decoded} came out")
    return words


def strangers(lab: Lab, container: Container) -> str:
    """Send streams with different pictures at once. Raises FailedError or SkippedError."""
    with calling(lab.options, container, lab.capacity) as callers:
        callers.wait_answered()
        time.sleep(STREAM_SECONDS)
    foreign = [trace.foreign for trace in callers.traces if trace.foreign is not None]
    if callers.troubles:
        raise FailedError("; ".join(callers.troubles))
    if not foreign:
        raise SkippedError("the model paints over the counter that tells pictures apart")
    if sum(foreign):
        raise FailedError(f"{sum(foreign)} pictures were another session's")
    return f"{done(callers)} pictures of {len(foreign)} sessions at once were all their own"
