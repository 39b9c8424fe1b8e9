"""What callers do: each session streams the clip at its frame rate, and watches what comes back."""

import asyncio
import io
import itertools
import os
import random
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import av
from aiohttp import ClientError, ClientSession
from av import FFmpegError

from .clip import Clip
from .clip import SampleError as SampleError
from .counter import MOST, Counter, read
from .traces import Trace
from .words import Unit
from emulator.asking import SOON, CallError, RefusedError, client
from emulator.door import add_options as add_door_options
from emulator.door import open_stream
from emulator.stream import Received, arrivals, json_object, open_at, subscribe
from emulator.trickle import TrickleServer

UNIT: Unit = "frame"
LIMIT_MS = 500
END_SECONDS = 10  # for what was accepted to come out
READABLE = 0.9  # of the counters in what comes back, or they are not used
PAINTED = "The model changes the counter in the pictures: frozen and foreign ones are not seen."

type Stamps = list[tuple[float, int]]


def add_options(parser: ArgumentParser, sample: dict[str, Any]) -> None:
    clip, params = sample["CLIP"], sample["PARAMS"]
    parser.add_argument("sample", nargs="?", default=clip, help="a video file: %(default)s")
    parser.add_argument("--params", type=json_object, default=params, help="JSON, for the model")
    parser.add_argument("--host", default="127.0.0.1", help="our address, as the container has it")
    add_door_options(parser)


class Sighting(NamedTuple):
    """A picture that came back: when, its number by its time stamp, and what its counter says."""

    moment: float
    number: int
    counter: Counter | None


class Session:
    """One stream. `answered` is set with the first byte that comes back, or when none will."""

    def __init__(self, traffic: "Traffic", number: int, options: Namespace) -> None:
        self.counted = traffic.first + number
        self.trace = Trace()
        self.answered = asyncio.Event()
        self.origin = 0.0
        self._traffic = traffic
        self._options = Namespace(**{**vars(options), "id": f"load-{self.counted}"})
        self._ending = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the session's trace
        self._stamps: Stamps = []
        self._pictures = traffic.clip.stream(self.counted)
        self._next = next(self._pictures)

    async def run(self) -> None:
        """Until `end`, and until what was accepted has come out."""
        self.origin = asked = self._loop.time()
        try:
            async with self._traffic.open(self._options) as urls:
                await self._stream(urls, asked)
        except RefusedError:
            self.trace.refused += 1
        except (CallError, ClientError) as error:
            self.trace.errors.append(str(error))
        finally:
            self.answered.set()

    def end(self) -> None:
        self._ending.set()

    async def _stream(self, urls: dict[str, str], asked: float) -> None:
        http = self._traffic.http
        self.origin = self._loop.time()
        publishing = asyncio.create_task(self._publish(http, urls["publish_url"]))
        receiving = asyncio.create_task(self._receive(http, urls["subscribe_url"], asked))
        ending = asyncio.create_task(self._ending.wait())
        try:
            tasks = (publishing, receiving, ending)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not self._ending.is_set():
                self.trace.errors.append("the stream was cut")
            publishing.cancel()
            with suppress(ClientError, TimeoutError):  # it is closed already
                await http.delete(urls["publish_url"], timeout=SOON)
            await asyncio.wait([receiving], timeout=END_SECONDS)
            if not receiving.done():
                self.trace.errors.append("the stream was not ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                self.trace.errors.append(repr(error))

    async def _publish(self, http: ClientSession, url: str) -> None:
        """Segment by segment; who can't send in time sends late, as cameras do."""
        for number in itertools.count():
            async with http.post(f"{url}/{number}", data=self._segment()):
                pass

    async def _segment(self) -> AsyncIterator[bytes]:
        begins = False
        while not begins:
            number, _, data = self._next
            await asyncio.sleep(self._due(number) - self._loop.time())
            yield data
            self._next = next(self._pictures)
            begins = self._next[1]

    def _due(self, number: int) -> float:
        return self.origin + float(number / self._traffic.clip.rate)

    async def _receive(self, http: ClientSession, url: str, asked: float) -> None:
        async for segment in subscribe(http, url):
            async for data in segment.iter_any():
                self._stamps.append((self._loop.time(), len(data)))
                self._output.write(data)
                if not self.answered.is_set():
                    self.trace.first_seconds = self._loop.time() - asked
                    self.answered.set()

    def sightings(self) -> list[Sighting]:
        """In the order in which they came, as far as they can be decoded."""
        self._output.seek(0)
        received: Received = [(at, self._output.read(size)) for at, size in self._stamps]
        self._output.close()
        if not received:
            return []
        times, clip = arrivals(received), self._traffic.clip
        ts = io.BytesIO(b"".join(data for _, data in received))
        found = []
        with suppress(FFmpegError), av.open(ts, "r", format="mpegts") as reader:
            for frame in reader.decode(video=0):
                if frame.pts in times:
                    number = clip.number(frame.pts)
                    found.append(Sighting(times[frame.pts], number, read(frame)))
        return found

    def fill(self, sightings: Sequence[Sighting], begin: float, end: float) -> None:
        """The trace, of frames that were due before `end`."""
        due = itertools.takewhile(lambda at: at < end, map(self._due, itertools.count()))
        self.trace.scheduled = list(due)
        if not self._traffic.by_counter:
            self.trace.arrived = {seen.number: seen.moment for seen in reversed(sightings)}
            return
        own = [seen for seen in sightings if seen.counter and seen.counter[0] == self.counted]
        readable = sum(seen.counter is not None for seen in sightings)
        self.trace.foreign = readable - len(own)
        self.trace.repeated = 0
        newest, news = -1, [begin]
        for seen in own:
            shown = self._shown(seen)
            if shown <= newest:
                self.trace.repeated += 1
                continue
            newest = shown
            self.trace.arrived[shown] = seen.moment
            if begin <= seen.moment < end:
                news.append(seen.moment)
        gaps = itertools.pairwise([*news, end])
        self.trace.frozen_seconds = max(after - before for before, after in gaps)

    def _shown(self, seen: Sighting) -> int:
        """Which of the session's pictures it is: the clip comes again and again."""
        assert seen.counter
        length = self._traffic.clip.length
        ahead = (seen.counter.number - seen.number + length // 2) % length - length // 2
        return seen.number + ahead


class Traffic:
    """Sessions for one load test after another. `first` is the counter's first session."""

    def __init__(self, options: Namespace) -> None:
        """Raises SampleError."""
        self.clip = Clip(Path(options.sample))
        self.by_counter: bool | None = None
        self.first = random.randrange(MOST - options.most)
        self._options = options
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises OSError when there is no such address to listen at."""
        self.http = await self._stack.enter_async_context(client())
        server = TrickleServer(self._options.host)
        self._server = await self._stack.enter_async_context(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __str__(self) -> str:
        return str(self.clip)

    async def prepare(self, sessions: int) -> list[Session]:
        numbers = range(self.first, self.first + sessions)
        await asyncio.to_thread(self.clip.prepare, numbers)
        return [Session(self, number, self._options) for number in range(sessions)]

    def open(self, options: Namespace) -> Any:
        """The channels of one more session."""
        if options.orchestrator:
            return open_stream(self.http, options)
        return open_at(self._server, self.http, options)

    async def traces(self, sessions: Sequence[Session], begin: float, end: float) -> list[Trace]:
        """What they have met: their output is decoded now, where that disturbs nobody."""
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
        """What can't be seen."""
        return [] if self.by_counter else [PAINTED]

    @property
    def age_by(self) -> Literal["counter", "time stamp"]:
        return "counter" if self.by_counter else "time stamp"
