"""Streams, from the caller through byoc/stream_orchestrator.go to the container."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, web
from yarl import URL

from .addresses import parse_url
from .capabilities import Capabilities, Job, call
from .golang import RefusedError, boolean, http_error, struct, unmarshal
from .node import Node

# The flag that asks for it, the suffix of its name, its type, the container's name for it, and
# the caller's.
CHANNELS = (
    ("", "-control", "application/json", "control_url", "X-Control-Url"),
    ("", "-events", "application/json", "events_url", "X-Events-Url"),
    ("enable_video_ingress", "", "video/MP2T", "subscribe_url", "X-Publish-Url"),
    ("enable_video_egress", "-out", "video/MP2T", "publish_url", "X-Subscribe-Url"),
    ("enable_data_output", "-data", "application/jsonl", "data_url", "X-Data-Url"),
)
FLAGS = struct({flag: boolean for flag, *_ in CHANNELS if flag})
WORKER_ERROR = "Error sending request to worker"


@dataclass(eq=False)
class Stream:
    """`suffixes` name the channels that it has got."""

    capability: str
    suffixes: list[str]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    watching: asyncio.Task[None] | None = None


class StreamJobs:
    """`http` calls the containers; every so many seconds each stream's capability is looked at."""

    http: ClientSession

    def __init__(self, node: Node, capabilities: Capabilities, monitor_seconds: float) -> None:
        self.by_id: dict[str, Stream] = {}
        self._node = node
        self._capabilities = capabilities
        self._monitor_seconds = monitor_seconds

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/ai/stream/start", self._start),
            web.post("/ai/stream/stop", self._stop),
            web.post("/ai/stream/update", self._update),
        ]

    def forget(self, later: Callable[..., object]) -> None:
        """`later` calls on the loop's thread."""
        for stream in list(self.by_id.values()):
            if stream.watching:
                later(stream.watching.cancel)
        self.by_id.clear()

    def _job(self, request: web.Request, *, reserve: bool = False, failed: str = "") -> Job:
        """Here every refusal is a 400."""
        try:
            return self._capabilities.job(request.headers.get("Livepeer", ""), reserve)
        except RefusedError as refusal:
            raise RefusedError(400, failed + refusal.message) from None

    async def _start(self, request: web.Request) -> web.Response:
        """Parameters that are no JSON leave the slot taken."""
        job = self._job(request, reserve=True)
        body = await request.read()
        try:
            flags = unmarshal(job.parameters, FLAGS)
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        wanted = [channel for channel in CHANNELS if flags.get(channel[0], True)]
        told: dict[str, Any] = {"gateway_request_id": job.id}
        answer = web.Response(headers={"Livepeer-Balance": "0"})
        for _, suffix, mime_type, key, header in wanted:
            told[key] = self._node.trickle.create(job.id + suffix, mime_type)
            answer.headers[header] = told[key]
        stream = Stream(job.capability, [suffix for _, suffix, *_ in wanted])
        failure = await self._begin(request, job, stream, body, told)
        self._node.report(f"stream {job.id}: {failure.status if failure else 'started'}")
        if failure:
            self._capabilities.free(job.capability)
            self._close_channels(job.id, stream)
            for name in {channel[-1] for channel in wanted}:
                failure.headers[name] = answer.headers[name]
        return failure or answer

    async def _begin(
        self, request: web.Request, job: Job, stream: Stream, body: bytes, told: dict[str, Any]
    ) -> web.Response | None:
        """What went wrong, if anything. The caller's keys win over ours."""
        try:
            theirs = json.loads(body)
            merged = told | ({} if theirs is None else theirs)
        except (TypeError, ValueError):
            return http_error(400, "Invalid JSON body")
        headers = {"Content-Type": request.headers.get("Content-Type", "")}
        try:
            url = _url(job, "start")
        except RefusedError:
            return http_error(500, "Failed to create worker request")
        try:
            answer = await self._call(job, url, job.id, json.dumps(merged).encode(), headers)
        except (ClientError, OSError, ValueError):  # the capability is kept
            return http_error(500, WORKER_ERROR)
        status, words = await self._said(job, answer)
        if status > 399:
            return _sniffed(status, words)
        if job.id in self.by_id:  # after the container has accepted it
            return http_error(500, "Error adding stream to external capabilities")
        self.by_id[job.id] = stream
        stream.watching = asyncio.create_task(self._watch(stream))
        return None

    async def _stop(self, request: web.Request) -> web.Response:
        """Whatever the container answers, the stream is over."""
        failed = "Failed to stop stream, request not valid err="
        job = self._job(request, failed=failed)
        url, status, words = _url(job, "stop"), 200, b""
        try:
            answer = await self._call(job, url, job.stream_id, await request.read(), {})
            status, words = await self._said(job, answer)
        except (ClientError, OSError, ValueError):
            self._node.report(f"stream {job.stream_id}: the container can't be told to stop")
        if stream := self.by_id.pop(job.stream_id, None):
            stream.ended.set()
            self._close_channels(job.stream_id, stream)
        self._node.report(f"stream {job.stream_id}: stopped")
        return _sniffed(status, words)

    async def _update(self, request: web.Request) -> web.Response:
        failed = "Failed to stop stream, request not valid err="  # go-livepeer's words
        job = self._job(request, failed=failed)
        url, headers = _url(job, "params"), {"Content-Type": "application/json"}
        try:
            answer = await self._call(job, url, job.stream_id, await request.read(), headers)
        except (ClientError, OSError, ValueError):
            raise RefusedError(500, WORKER_ERROR) from None
        return _sniffed(*await self._said(job, answer))

    async def _call(
        self, job: Job, url: URL, stream: str, body: bytes, headers: dict[str, str]
    ) -> ClientResponse:
        """The header names the stream."""
        named = {**headers, "X-Stream-Id": stream} if stream else headers
        capability = self._capabilities.by_name.get(job.capability)
        return await call(self.http, url, capability, body, named, job.seconds)

    async def _said(self, job: Job, answer: ClientResponse) -> tuple[int, bytes]:
        """401 drops the capability, and is a 500 to the caller."""
        try:
            async with answer:
                words = await answer.read()
        except (ClientError, OSError):
            return 500, b"Error reading response body"
        if answer.status == 401:
            self._capabilities.drop(job.capability, "401")
            return 500, b"Orchestrator worker failure"
        return answer.status, words

    async def _watch(self, stream: Stream) -> None:
        """The slot is free again at the end, unless the capability was missing at
        one of these moments."""
        while not stream.ended.is_set():
            try:
                async with asyncio.timeout(self._monitor_seconds):
                    await stream.ended.wait()
            except TimeoutError:
                if stream.capability not in self._capabilities.by_name:
                    return
        self._capabilities.free(stream.capability)

    def _close_channels(self, name: str, stream: Stream) -> None:
        for suffix in stream.suffixes:
            self._node.trickle.close_channel(name + suffix)


def _url(job: Job, action: str) -> URL:
    """Nobody is asked where the capability's URL can't be parsed."""
    try:
        return parse_url(f"{job.url}/stream/{action}")
    except ValueError as error:
        raise RefusedError(400, str(error)) from None


def _sniffed(status: int, words: bytes) -> web.Response:
    """Go finds the type out by itself: for JSON it is plain text."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "Livepeer-Balance": "0"}
    return web.Response(status=status, body=words, headers=headers)
