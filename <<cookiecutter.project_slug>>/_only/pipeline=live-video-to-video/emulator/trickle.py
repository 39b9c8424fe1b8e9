"""A trickle server that behaves as go-livepeer's trickle/trickle_server.go."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Self

from aiohttp import web

from .listener import Listener, on_thread

PATH = "/ai/trickle"
KEPT_SEGMENTS, ALL_SEGMENTS = 5, 2**31
NEXT, CURRENT = -1, -2  # where an index is asked for
READ_BYTES = 64 * 1024


@dataclass(eq=False)
class Segment:
    """A segment of a channel: its bytes so far, and whether it is complete."""

    index: int
    data: bytearray = field(default_factory=bytearray)
    closed: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, data: bytes) -> None:
        self.data += data
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def wait_closed(self) -> None:
        while not self.closed:
            await self._changed.wait()

    async def chunks(self) -> AsyncIterator[bytes]:
        """All bytes from the first one on, as they arrive, to the end."""
        position = 0
        while position < len(self.data) or not self.closed:
            if chunk := bytes(self.data[position : position + READ_BYTES]):
                position += len(chunk)
                yield chunk
            else:
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(eq=False)
class Channel:
    """The last segments of a channel, and the next index."""

    mime_type: str
    kept: int = KEPT_SEGMENTS
    next_index: int = 0
    closed: bool = False
    stuck: bool = False  # by a DELETE of a negative index, for good
    written: float = field(default_factory=time.monotonic)
    _ring: dict[int, Segment] = field(default_factory=dict)

    @property
    def segments(self) -> list[Segment]:
        """The segments that are kept or that a subscriber waits for, by index."""
        return sorted(self._ring.values(), key=lambda segment: segment.index)

    def get(self, index: int) -> Segment | None:
        segment = self._ring.get(index % self.kept)
        return segment if segment and segment.index == index else None

    def to_write(self, index: int) -> Segment:
        """Gaps are accepted."""
        index = self.next_index if index == NEXT else index
        if (segment := self.get(index)) is None:
            if older := self._ring.get(index % self.kept):
                older.close()
            segment = self._add(index)
        return segment

    def to_read(self, index: int) -> Segment | None:
        """The next one can be read too, and 1 before 0. A replaced segment stays open."""
        if index in (NEXT, CURRENT):
            index = max(self.next_index - (index == CURRENT), 0)
        ahead = index == self.next_index or (index == 1 and self.next_index == 0)
        return self.get(index) or (self._add(index) if ahead else None)

    def begin(self, segment: Segment) -> None:
        """At the first byte or an empty end; a repeated index lowers it, as in go-livepeer."""
        self.next_index = segment.index + 1
        self.written = time.monotonic()

    def close(self) -> None:
        self.closed = True
        for segment in self._ring.values():
            segment.close()

    def _add(self, index: int) -> Segment:
        segment = self._ring[index % self.kept] = Segment(index, closed=self.closed)
        return segment


@dataclass(eq=False)
class TrickleServer:
    """`async with TrickleServer() as server:` serves at `server.url` on the running loop.

    Any thread may use `channels` and the methods that are not async. Every `sweep_seconds` it
    deletes channels without a new segment for `idle_seconds`. Publishers that have not sent a
    first byte get 100 Continue every `continue_seconds`. `remembers` keeps all segments, also of
    closed channels, for slow readers; orchestrators don't.
    """

    host: str = "127.0.0.1"
    port: int = 0
    _: KW_ONLY
    tls: ssl.SSLContext | None = None
    idle_seconds: float = 300
    sweep_seconds: float = 60
    continue_seconds: float = 10
    remembers: bool = False
    url: str = field(default="", init=False)
    channels: dict[str, Channel] = field(default_factory=dict, init=False)
    _closed: dict[str, Channel] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self.routes())
        self._listener = Listener(app)
        self.port = await self._listener.open(self.host, self.port, self.tls)
        self.open(f"{'https' if self.tls else 'http'}://{self.host}:{self.port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self._listener.close()

    def routes(self) -> list[web.RouteDef]:
        """For the application of another server, which then calls `open` and `close`."""
        return [
            web.post(f"{PATH}/{{channel}}", self._create),  # there is one or not
            web.delete(f"{PATH}/{{channel}}", self._delete),
            web.get(f"{PATH}/{{channel}}/next", self._next),
            web.get(f"{PATH}/{{channel}}/{{index}}", self._subscribe, allow_head=False),
            web.post(f"{PATH}/{{channel}}/{{index}}", self._publish),
            web.delete(f"{PATH}/{{channel}}/{{index}}", self._delete_segment),
        ]

    def open(self, origin: str) -> None:
        """Start; the routes are reached at `origin`, for example https://127.0.0.1:8935."""
        self.url = origin + PATH
        self._loop = asyncio.get_running_loop()
        self._sweeper = asyncio.create_task(self._sweep())

    def close(self) -> None:
        self._sweeper.cancel()
        for name in list(self.channels):
            self.close_channel(name)

    def create(self, name: str, mime_type: str = "video/mp2t") -> str:
        """The URL of a channel, created if there is none: only orchestrators can create one."""
        kept = ALL_SEGMENTS if self.remembers else KEPT_SEGMENTS
        self.channels.setdefault(name, Channel(mime_type, kept))
        return f"{self.url}/{name}"

    def close_channel(self, name: str) -> bool:
        """End a channel for everyone; False if there is none."""
        if channel := self.channels.pop(name, None):
            self._loop.call_soon_threadsafe(channel.close)
            if self.remembers:
                self._closed[name] = channel
        return channel is not None

    def write(self, name: str, data: bytes) -> bool:
        """Write a segment, on the loop's thread; False if there is no such channel."""
        if channel := self.channels.get(name):
            segment = channel.to_write(NEXT)
            channel.begin(segment)
            segment.write(data)
            segment.close()
        return channel is not None

    def segments(self, name: str) -> list[bytes]:
        """The finished segments that an open channel keeps; dropped ones are empty."""
        return [bytes(it.data) for it in self.channels[name].segments if it.closed]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.sweep_seconds)
            for name, channel in list(self.channels.items()):
                if time.monotonic() - channel.written > self.idle_seconds:
                    self.close_channel(name)

    async def _create(self, request: web.Request) -> web.Response:
        await self._find(request)
        return web.Response()

    async def _next(self, request: web.Request) -> web.Response:
        """The index with which a publisher goes on after a restart."""
        index = str((await self._find(request)).next_index)
        return web.Response(text=index, headers={"Lp-Trickle-Latest": index})

    async def _delete(self, request: web.Request) -> web.Response:
        if not self.close_channel(request.match_info["channel"]):
            raise web.HTTPBadRequest(text="Invalid stream")
        return web.Response()

    async def _delete_segment(self, request: web.Request) -> web.Response:
        channel = await self._find(request)
        if not (segment := channel.get(_index(request, channel, 0))):
            raise web.HTTPBadRequest(text="Nonexistent segment")
        segment.close()
        return web.Response()

    async def _publish(self, request: web.Request) -> web.Response:
        """A segment stays open if its connection breaks."""
        channel = await self._find(request)
        segment = channel.to_write(_index(request, channel, NEXT))
        if request.headers.get("Lp-Trickle-Reset"):
            for older in channel.segments[: channel.segments.index(segment)]:
                older.close()
        answer = web.Response(headers={"Lp-Trickle-Seq": str(segment.index)})
        try:
            chunk = await self._first_chunk(request, segment)
            channel.begin(segment)
            if not chunk:
                answer.force_close()
                if channel.closed:
                    answer.headers["Lp-Trickle-Closed"] = "terminated"
            while chunk:
                segment.write(chunk)
                chunk = await request.content.readany()
        except web.RequestPayloadError:
            answer = web.Response(status=500, text="Server error")
            answer.force_close()
            return answer
        segment.close()
        return answer

    async def _first_chunk(self, request: web.Request, segment: Segment) -> bytes:
        """Waits without limit; empty if the body or the segment has ended."""
        reading = asyncio.create_task(request.content.readany())
        closing = asyncio.create_task(segment.wait_closed())
        closing.add_done_callback(lambda _: reading.cancel())
        try:
            while not (await asyncio.wait([reading], timeout=self.continue_seconds))[0]:
                if request.transport:
                    request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return b"" if segment.closed else reading.result()
        finally:
            closing.cancel()
            await asyncio.gather(reading, closing, return_exceptions=True)

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        """Answers with the first byte, or at the end of an empty segment."""
        channel = await self._find(request)
        index, latest = _index(request, channel, CURRENT), channel.next_index
        if not (segment := channel.to_read(index)):
            headers = {"Lp-Trickle-Seq": str(index), "Lp-Trickle-Latest": str(latest)}
            return web.Response(status=470, headers=headers, text="Entry not found")
        answer = web.StreamResponse(headers={"Lp-Trickle-Seq": str(segment.index)})
        with suppress(ConnectionError):  # a subscriber may leave
            async for chunk in segment.chunks():
                if not answer.prepared:
                    if segment.index != latest:
                        answer.headers["Lp-Trickle-Latest"] = str(latest)
                    answer.headers["Content-Type"] = channel.mime_type
                    await answer.prepare(request)
                await answer.write(chunk)
        if not answer.prepared:
            answer.content_length = 0
            answer.headers["Lp-Trickle-Latest"] = str(channel.next_index)
            if channel.closed:  # else only the segment was dropped
                answer.headers["Lp-Trickle-Closed"] = "terminated"
        return answer

    async def _find(self, request: web.Request) -> Channel:
        """404 is final, and a publisher's connection ends with it."""
        name = request.match_info["channel"]
        if channel := self.channels.get(name):
            if channel.stuck:
                await asyncio.Event().wait()
            return channel
        if request.method == "GET" and name in self._closed:
            return self._closed[name]
        gone = web.HTTPNotFound(text="Stream not found")
        if request.method == "POST":
            gone.force_close()
        raise gone


def _index(request: web.Request, channel: Channel, lowest: int) -> int:
    """400 if it is no 64-bit number; no answer if it is too low."""
    text = request.match_info["index"]
    if not re.fullmatch("[+-]?[0-9]{1,19}", text) or not -(2**63) <= (index := int(text)) < 2**63:
        raise web.HTTPBadRequest(text="Invalid idx")
    if index < lowest:
        channel.stuck = request.method == "DELETE"
        request.protocol.force_close()
        raise web.HTTPBadRequest
    return index


def run_trickle_server(**options: Any) -> AbstractContextManager[TrickleServer]:
    """A server with these options on a thread of its own, for callers without an event loop."""
    return on_thread(TrickleServer(**options), "trickle")
