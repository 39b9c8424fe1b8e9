"""The callers: each sends the job again and again, without a pause or at a rate."""

import asyncio
import mimetypes
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import ClientTimeout

from .traces import Trace
from .words import Unit
from emulator.asking import CallError, RefusedError, asking, bearer, client
from emulator.call import BYTES, EVENTS, MARGIN_SECONDS, events
from emulator.via_orchestrator import add_options as add_orchestrator_options
from emulator.via_orchestrator import locate

UNIT: Unit = "job"
LIMIT_MS = 2000
AGAIN_SECONDS = 1  # after a refusal

type Send = Callable[[], Awaitable[None]]


def add_options(parser: ArgumentParser, sample: dict[str, Any]) -> None:
    job = sample["JOB"]
    parser.add_argument("sample", nargs="?", default=job, help="a job's file: %(default)s")
    parser.add_argument("--content-type", help="the job's type, if its file name does not tell")
    parser.add_argument(
        "--every", type=float, help="seconds between starts of a caller's jobs; default: no pause"
    )
    parser.add_argument("--timeout", type=int, default=60, help="seconds for one job")
    add_orchestrator_options(parser)


class Session:
    """One caller with one job at a time. `answered` is set when the first job has ended.

    With `every`, jobs have a schedule: a job that can't be sent in time is sent late, and its age
    counts from its scheduled time. Without it, a job is due when the previous one has ended.
    """

    def __init__(self, send: Send, every: float | None) -> None:
        self.trace = Trace()
        self.answered = asyncio.Event()
        self._send = send
        self._every = every
        self._ending = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Send jobs until `end`, then until the last job has ended."""
        asked = due = self._loop.time()
        while not self._ending.is_set():
            number = len(self.trace.scheduled)
            self.trace.scheduled.append(due)
            try:
                await self._send()
                self.trace.arrived[number] = self._loop.time()
            except RefusedError as error:
                self.trace.refused.append(str(error))
                await self._wait(AGAIN_SECONDS)
            except CallError as error:
                self.trace.errors.append(str(error))
            if not self.answered.is_set() and number in self.trace.arrived:
                self.trace.first_seconds = self._loop.time() - asked
            self.answered.set()
            due = due + self._every if self._every else self._loop.time()
            await self._wait(due - self._loop.time())
        self._miss(due)

    def end(self) -> None:
        self._ending.set()

    def _miss(self, due: float) -> None:
        """Add the jobs that were due meanwhile and could not be sent."""
        while self._every and due < self._loop.time():
            self.trace.scheduled.append(due)
            due += self._every

    async def _wait(self, seconds: float) -> None:
        """Wait for `seconds`, or until the end."""
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait([ending], timeout=max(seconds, 0))
        ending.cancel()


class Traffic:
    """The callers of each level."""

    age_by: Literal["answer"] = "answer"
    notes = ()

    def __init__(self, options: Namespace) -> None:
        """Raises OSError with a message that says what is wrong with the job's file."""
        self._path = Path(options.sample)
        try:
            self._body = self._path.read_bytes()
        except OSError as error:
            raise OSError(f"{self._path}: {error.strerror}") from None
        guessed, _ = mimetypes.guess_type(self._path)
        self._headers = {"Content-Type": options.content_type or guessed or BYTES}
        self._options = options

    async def __aenter__(self) -> Self:
        self._http = client()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def __str__(self) -> str:
        return f"{self._path}: {len(self._body)} bytes of {self._headers['Content-Type']}"

    async def prepare(self, sessions: int) -> list[Session]:
        """Raises CallError if the orchestrator does not offer the container."""
        options = self._options
        headers = {**self._headers, **bearer(options.token)}
        timeout = ClientTimeout(total=options.timeout + MARGIN_SECONDS)

        async def send() -> None:
            """Each job asks the orchestrator anew where to go."""
            who, url, more = "the container", f"{options.url}/run", bearer("")
            if options.orchestrator:
                who, url, more = await locate(self._http, options)
            given: dict[str, Any] = {"data": self._body, "headers": headers | more}
            async with asking(self._http, who, url, timeout=timeout, **given) as answer:
                if not answer.headers.get("Content-Type", "").startswith(EVENTS):
                    await answer.read()
                    return
                async for name, value in events(answer):
                    if name == "error":
                        raise CallError(f"the job has failed: {value}")

        return [Session(send, options.every) for _ in range(sessions)]

    async def traces(self, sessions: Sequence[Session], begin: float, end: float) -> list[Trace]:
        return [session.trace for session in sessions]
