"""The callers: each session streams the clip at its frame rate, and records what comes back."""

import asyncio
import io
import itertools
import os
import uuid
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import av
from aiohttp import ClientError
from av import FFmpegError

from .clip import load_clip
from .counter import Counter, read
from .traces import Trace
from .words import Unit
from emulator.asking import SOON, CallError, RefusedError, client
from emulator.stream import Received, arrivals, json_object, open_here, subscribe
from emulator.via_orchestrator import add_options as add_orchestrator_options
from emulator.via_orchestrator import open_stream

UNIT: Unit = "frame"
LIMIT_MS = 500
END_SECONDS = 10  # for what was accepted to come out
READABLE = 0.9  # of the counters, or they are not used
PAINTED = "The model changes the counter in the pictures: frozen and wrong pictures go unnoticed."


def add_options(parser: ArgumentParser, sample: dict[str, Any]) -> None:
    clip, params = sample["CLIP"], sample["PARAMS"]
    parser.add_argument("sample", nargs="?", type=Path, default=clip, help="a video file")
    parser.add_argument("--params", type=json_object, default=params, help="parameters, as JSON")
    parser.add_argument("--host", default="127.0.0.1", help="where the container reaches us")
    add_orchestrator_options(parser)


class Sighting(NamedTuple):
    """A picture that came back: when, its number by its time stamp, and its counter."""

    moment: float
    number: int
    counter: Counter | None


class Session:
    """One stream. `answered` is set at the first byte that comes back, or when none will."""

    def __init__(self, traffic: "Traffic", number: int, options: Namespace) -> None:
        self.trace = Trace()
        self.answered = asyncio.Event()
        self._number = number
        self._clip = traffic.clip
        self._traffic = traffic
        # Unique, because another level or load test may have a session of this number.
        self.id = f"load-{number}-{uuid.uuid4().hex[:8]}"
        self._options = Namespace(**{**vars(options), "id": self.id})
        self._ending = asyncio.Event()
        self._received: Received = []
        self._pictures = self._clip.stream(number)
        self._next = next(self._pictures)

    async def run(self) -> None:
        """Stream until `end`, then until all accepted frames have come out."""
        self._asked = self._origin = asyncio.get_running_loop().time()
        try:
            async with self._open() as urls:
                await self._stream(urls)
        except RefusedError as error:
            self.trace.refused.append(str(error))
        except (CallError, ClientError) as error:
            self.trace.errors.append(str(error))
        finally:
            self.answered.set()

    def end(self) -> None:
        self._ending.set()

    def _open(self) -> Any:
        """Its channels. Raises OSError if there is no such host."""
        if self._options.orchestrator:
            return open_stream(self._traffic.http, self._options)
        return open_here(self._traffic.http, self._options, remembers=False)

    async def _stream(self, urls: dict[str, str]) -> None:
        self._origin = asyncio.get_running_loop().time()
        parts = (self._publish(urls["publish_url"]), self._receive(urls["subscribe_url"]))
        tasks = [asyncio.create_task(each) for each in (*parts, self._ending.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not self._ending.is_set():
                self.trace.errors.append("the container ended the stream early")
            tasks[0].cancel()
            with suppress(ClientError, TimeoutError):  # it is closed already
                await self._traffic.http.delete(urls["publish_url"], timeout=SOON)
            _, open_ = await asyncio.wait([tasks[1]], timeout=END_SECONDS)
            self.trace.errors += ["the container did not end the stream" for _ in open_]
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        self.trace.errors += [repr(end) for end in ends if isinstance(end, Exception)]

    async def _publish(self, url: str) -> None:
        """Send segment by segment; what can't be sent in time is sent late, as cameras do."""
        for number in itertools.count():
            async with self._traffic.http.post(f"{url}/{number}", data=self._segment()):
                pass

    async def _segment(self) -> AsyncIterator[bytes]:
        begins = False
        while not begins:
            number, _, data = self._next
            await asyncio.sleep(self._due(number) - asyncio.get_running_loop().time())
            yield data
            self._next = next(self._pictures)
            begins = self._next[1]

    def _due(self, number: int) -> float:
        return self._origin + float(number / self._clip.rate)

    async def _receive(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        async for segment in subscribe(self._traffic.http, url):
            async for data in segment.iter_any():
                self._received.append((loop.time(), data))
                if not self.answered.is_set():
                    self.trace.first_seconds = loop.time() - self._asked
                    self.answered.set()

    def sightings(self) -> list[Sighting]:
        """The pictures that can be decoded, in the order in which they arrived."""
        found: list[Sighting] = []
        if not self._received:
            return found
        times = arrivals(self._received)
        ts = io.BytesIO(b"".join(data for _, data in self._received))
        with suppress(FFmpegError), av.open(ts, "r", format="mpegts") as reader:
            for frame in reader.decode(video=0):
                if frame.pts in times:
                    number = self._clip.number(frame.pts)
                    found.append(Sighting(times[frame.pts], number, read(frame)))
        return found

    def fill(self, sightings: Sequence[Sighting], begin: float, end: float) -> None:
        """Fill the trace with the frames that were due before `end`."""
        trace = self.trace
        due = map(self._due, itertools.count())
        trace.scheduled = list(itertools.takewhile(lambda moment: moment < end, due))
        if not self._traffic.by_counter:
            trace.arrived = {seen.number: seen.moment for seen in reversed(sightings)}
            return
        trace.foreign = trace.repeated = 0
        newest, news = -1, [begin]
        for moment, number, counter in sightings:
            if counter is None:
                continue
            if counter.session != self._number:
                trace.foreign += 1
                continue
            # The clip is repeated: the time stamp says which repetition this is.
            length = self._clip.length
            shown = number + (counter.number - number + length // 2) % length - length // 2
            if shown <= newest:
                trace.repeated += 1
                continue
            newest = shown
            trace.arrived[shown] = moment
            news += [moment] if begin <= moment < end else []
        trace.frozen_seconds = max(b - a for a, b in itertools.pairwise([*news, end]))


class Traffic:
    """The sessions of each level, each with a number of its own for the counter."""

    def __init__(self, options: Namespace) -> None:
        """Raises OSError if there is no such clip, or no picture in it."""
        self.clip = load_clip(options.sample)
        self.by_counter: bool | None = None
        self._options = options

    async def __aenter__(self) -> Self:
        self.http = client()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    def __str__(self) -> str:
        return str(self.clip)

    async def prepare(self, sessions: int) -> list[Session]:
        numbers = range(self.clip.first, self.clip.first + sessions)
        await asyncio.to_thread(self.clip.prepare, numbers)
        return [Session(self, number, self._options) for number in numbers]

    async def traces(self, sessions: Sequence[Session], begin: float, end: float) -> list[Trace]:
        """Decode the output of the sessions now, when that disturbs no measurement."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            calls = [loop.run_in_executor(pool, session.sightings) for session in sessions]
            found = await asyncio.gather(*calls)
        if self.by_counter is None and any(found):
            counters = [seen.counter for sightings in found for seen in sightings]
            self.by_counter = 1 - counters.count(None) / len(counters) >= READABLE
        for session, sightings in zip(sessions, found, strict=True):
            session.fill(sightings, begin, end)
        return [session.trace for session in sessions]

    @property
    def notes(self) -> list[str]:
        """What can't be measured."""
        return [] if self.by_counter else [PAINTED]

    @property
    def age_by(self) -> Literal["counter", "time stamp"]:
        return "counter" if self.by_counter else "time stamp"
