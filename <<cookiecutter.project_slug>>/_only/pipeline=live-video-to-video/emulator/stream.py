"""Streams a clip through the container, with or without an orchestrator; writes the result."""

import asyncio
import io
import itertools
import json
import sys
import time
import uuid
from argparse import ArgumentParser, Namespace
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import av
from aiohttp import ClientError, ClientSession, StreamReader
from av import FFmpegError
from av.container import InputContainer

from .asking import SOON, CallError, ask, base_url, bearer, client
from .trickle import TrickleServer
from .via_orchestrator import add_options, open_stream

# The names of a channel: to the container, and to its caller.
CHANNELS = {
    "subscribe_url": "publish_url",
    "publish_url": "subscribe_url",
    "events_url": "events_url",
    "data_url": "data_url",
}
LISTEN_SECONDS, LOOK_SECONDS = 30, 0.02
END_SECONDS, LAST_WORDS_SECONDS = 60, 3
PACKET_BYTES, CLOCK = 188, 90_000
# Tables only before keyframes, because a segment begins at each table.
MPEGTS_OPTIONS = {"pat_period": "86400"}

type Times = dict[int, float]
type File = str | io.BytesIO
type Received = list[tuple[float, bytes]]


class Part(NamedTuple):
    """A packet in MPEG-TS: its first byte, and when it is decoded and shown, in 1/90000 s."""

    position: int
    decoded: int
    shown: int
    is_picture: bool


def copy(source: File, target: File, path: str, repeat: int = 1) -> None:
    """Copy video and audio into another file, `repeat` times; errors name the file at `path`."""
    kind, options = ("mpegts", MPEGTS_OPTIONS) if isinstance(target, io.BytesIO) else (None, {})
    try:
        with av.open(source) as reader, av.open(target, "w", kind, options=options) as writer:
            assert isinstance(reader, InputContainer)
            if not reader.streams.video:
                sys.exit(f"{path}: no video")
            streams = [*reader.streams.video[:1], *reader.streams.audio[:1]]
            copies = {stream.index: writer.add_stream_from_template(stream) for stream in streams}
            for turn in range(repeat):
                if turn:
                    reader.seek(0)
                later = Fraction(turn * (reader.duration or 0), av.time_base)
                for packet in reader.demux(streams):
                    if packet.dts is not None and packet.pts is not None:
                        packet.dts += int(later / packet.time_base)
                        packet.pts += int(later / packet.time_base)
                        packet.stream = copies[packet.stream.index]
                        writer.mux(packet)
    except (OSError, FFmpegError) as error:
        sys.exit(f"{path}: {error.strerror or error}")


def find_parts(ts: bytes) -> list[Part]:
    """The packets, in the order of their bytes."""
    with av.open(io.BytesIO(ts), "r", format="mpegts") as reader:
        return sorted(
            Part(packet.pos, packet.dts, packet.pts, packet.stream.type == "video")
            for packet in reader.demux()
            if packet.pos is not None and packet.dts is not None and packet.pts is not None
        )


async def publish(http: ClientSession, url: str, ts: bytes, speed: float, shown: Times) -> None:
    """Send `ts` as a camera would; `shown` gets when a viewer would see each picture."""
    parts = find_parts(ts)
    origin = time.monotonic() - parts[0].decoded / CLOCK / speed

    async def paced(segment: list[Part], begin: int, end: int) -> AsyncIterator[bytes]:
        bounds = itertools.pairwise([begin, *(part.position for part in segment[1:]), end])
        for part, (first, last) in zip(segment, bounds, strict=True):
            await asyncio.sleep(origin + part.decoded / CLOCK / speed - time.monotonic())
            if part.is_picture:
                shown[part.shown] = origin + part.shown / CLOCK / speed
            yield ts[first:last]

    tables = [at for at in range(0, len(ts), PACKET_BYTES) if ts[at + 1] & 31 == ts[at + 2] == 0]
    with suppress(ClientError):  # the other channels say what has happened
        for number, (begin, end) in enumerate(itertools.pairwise([*tables, len(ts)])):
            segment = [part for part in parts if begin <= part.position < end]
            async with http.post(f"{url}/{number}", data=paced(segment, begin, end)):
                pass


async def subscribe(http: ClientSession, url: str) -> AsyncIterator[StreamReader]:
    """The segments from the first one to the end of the channel, to be read as they arrive."""
    number = 0
    while True:
        async with http.get(f"{url}/{number}") as answer:
            if answer.status == 470:  # the server no longer has that segment
                number = int(answer.headers["Lp-Trickle-Latest"])
                continue
            if answer.status != 200 or "Lp-Trickle-Closed" in answer.headers:
                return
            yield answer.content
        number += 1


async def receive(http: ClientSession, url: str) -> Received:
    """The bytes that arrived, and when."""
    return [
        (time.monotonic(), data)
        async for segment in subscribe(http, url)
        async for data in segment.iter_any()
    ]


async def show_events(http: ClientSession, url: str) -> None:
    """Print the events; each one is a segment."""
    async for segment in subscribe(http, url):
        event = json.loads(await segment.read())["event"]
        kind, words = event.pop("type", "?"), json.dumps(event)
        if kind == "heartbeat":
            words = "{fps_in} fps in, {fps_out} out, {latency_p50_ms} ms inside".format(**event)
        elif kind == "error":
            words = "{type}: {message}".format(**event["error"])
        if kind != "status":  # it repeats the heartbeat
            print(f"{kind:<10}", words, flush=True)
        if kind == "stopped" and event.get("frames_unprocessed"):
            print(f"{event['frames_unprocessed']} frames came out unprocessed", flush=True)


async def show_data(http: ClientSession, url: str) -> None:
    async for segment in subscribe(http, url):
        async for line in segment:
            print("data      ", line.decode().rstrip(), flush=True)


@asynccontextmanager
async def open_here(
    http: ClientSession, options: Namespace, remembers: bool = True
) -> AsyncIterator[dict[str, str]]:
    """Start a stream with channels of a trickle server of our own; stop it at the end."""
    headers = {"X-Stream-Id": options.id, **bearer(options.token)}
    async with TrickleServer(options.host, remembers=remembers) as server:
        names = {name: uuid.uuid4().hex for name in CHANNELS}
        urls = {name: server.create(channel) for name, channel in names.items()}
        body, who = {"params": options.params, **urls}, "the container"
        await ask(http, who, f"{options.url}/stream/start", json=body, headers=headers)
        try:
            await wait_subscribed(server, names["subscribe_url"])
            yield {CHANNELS[name]: url for name, url in urls.items()}
        finally:
            with suppress(CallError):  # it is as good as stopped
                await ask(http, who, f"{options.url}/stream/stop", headers=headers)


async def wait_subscribed(server: TrickleServer, channel: str) -> None:
    """Wait until the container subscribes: it would miss earlier segments. Raises CallError."""
    with suppress(KeyError):  # closed already
        for _ in range(round(LISTEN_SECONDS / LOOK_SECONDS)):
            if server.channels[channel].segments:
                return
            await asyncio.sleep(LOOK_SECONDS)
        where = urlsplit(server.url).netloc
        raise CallError(f"the container does not subscribe: can it reach {where}? see --host")


async def stream(options: Namespace, ts: bytes, shown: Times) -> tuple[Received, bool]:
    """What came back, and whether the container ended the stream before the clip's end."""
    open_channels = open_stream if options.orchestrator else open_here
    async with client() as http, open_channels(http, options) as urls:
        clip = asyncio.create_task(publish(http, urls["publish_url"], ts, options.speed, shown))
        output = asyncio.create_task(receive(http, urls["subscribe_url"]))
        events, data = show_events(http, urls["events_url"]), show_data(http, urls["data_url"])
        words = asyncio.gather(events, data, return_exceptions=True)
        await asyncio.wait([clip, output], return_when=asyncio.FIRST_COMPLETED)
        cut = clip.cancel()
        with suppress(ClientError, TimeoutError):  # it is closed already
            await http.delete(urls["publish_url"], timeout=SOON)
        await asyncio.wait([output], timeout=END_SECONDS)
        if not output.done():
            output.cancel()
            where = urlsplit(urls["publish_url"]).netloc
            hint = f"does it still run, and can it reach {where}? see --host"
            raise CallError(f"the container does not end the stream: {hint}")
        await asyncio.wait([words], timeout=LAST_WORDS_SECONDS)
        try:
            return await output, cut
        except ClientError as error:
            raise CallError(f"the connection is lost: {error}") from None


def json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def arrivals(received: Received) -> Times:
    """When the last byte of each picture arrived."""
    parts = find_parts(b"".join(data for _, data in received))
    sizes = list(itertools.accumulate(len(data) for _, data in received))
    ends = [*(part.position for part in parts[1:]), sizes[-1]]
    return {
        part.shown: received[bisect_left(sizes, end)][0]
        for part, end in zip(parts, ends, strict=True)
        if part.is_picture
    }


def main() -> None:
    parser = ArgumentParser("python -m emulator.stream", description=__doc__)
    parser.add_argument("clip", help="a file with H.264 video")
    parser.add_argument("result", help="where to write the result: .mp4, .ts and the like")
    parser.add_argument("--url", type=base_url, default="http://127.0.0.1:8000", help="job port")
    parser.add_argument("--orchestrator", type=base_url, help="go through this orchestrator")
    parser.add_argument("--host", default="127.0.0.1", help="where the container reaches us")
    parser.add_argument("--params", type=json_object, default={}, help="parameters, as JSON")
    parser.add_argument("--id", default="quick-start", help="the id of the stream")
    parser.add_argument("--token", default="", help="the container's BYOC_AUTH_TOKEN")
    parser.add_argument("--speed", type=float, default=1, help="2 is twice as fast")
    parser.add_argument("--repeat", type=int, default=1, help="how often the clip is sent")
    add_options(parser)
    options = parser.parse_args()
    if not Path(options.result).suffix or not Path(options.result).parent.is_dir():
        parser.error(f"{options.result}: name a file like out.mp4 in an existing folder")
    ts = io.BytesIO()
    shown: Times = {}
    copy(options.clip, ts, options.clip, options.repeat)
    try:
        received, cut = asyncio.run(stream(options, ts.getvalue(), shown))
    except KeyboardInterrupt:
        sys.exit("stopped")
    except CallError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"can't listen at {options.host}: {error}")
    if not received:
        sys.exit("nothing came back: the events and the container's log say why")
    output = io.BytesIO(b"".join(data for _, data in received))
    copy(output, options.result, options.result)
    came = arrivals(received)
    ages = sorted(came[picture] - shown[picture] for picture in shown.keys() & came)
    p50, p99 = (f"{1000 * ages[len(ages) * part // 100]:.0f} ms" for part in (50, 99))
    print(f"{len(shown)} frames in, {len(ages)} out, {p50} later (p99: {p99})")
    if cut:
        sys.exit("the container has ended the stream before the end of the clip")


if __name__ == "__main__":
    main()
