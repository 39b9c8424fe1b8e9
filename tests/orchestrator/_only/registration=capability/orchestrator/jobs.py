"""Batch jobs, from the caller through byoc/job_orchestrator.go to the container."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import ClientError, ClientResponse, ClientSession, StreamReader, web

from .addresses import add_slash, parse_url
from .capabilities import Capabilities, Job, call
from .golang import RefusedError, http_error
from .node import Node

PATH = "/process/request"
LONGEST_LINE = 65_535
# go-livepeer's loop has no pause at all, which would waste CPU here.
FLOOD_SECONDS = 0.001


class Jobs:
    """`http` calls the containers."""

    http: ClientSession

    def __init__(self, node: Node, capabilities: Capabilities) -> None:
        self._node = node
        self._capabilities = capabilities

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", PATH, add_slash),
            web.route("*", f"{PATH}/{{path:.*}}", self._process),
        ]

    async def _process(self, request: web.Request) -> web.StreamResponse:
        """What fails before the container's headers leaves its slot taken."""
        if request.method != "POST":
            raise RefusedError(405, "Method not allowed")
        job = self._capabilities.job(request.headers.get("Livepeer", ""), reserve=True)
        body = await request.read()
        path = request.rel_url.path.removeprefix(f"{PATH}/")
        try:
            url = parse_url(f"{job.url}/{path}" if path else job.url)
        except ValueError as error:  # the capability stays, whatever its URL is
            raise RefusedError(500, str(error)) from None
        headers = {"Content-Type": request.headers.get("Content-Type", "")}
        capability = self._capabilities.by_name.get(job.capability)
        try:
            answer = await call(self.http, url, capability, body, headers, job.seconds)
        except TimeoutError:
            return self._failed("context canceled")
        except (ClientError, OSError, ValueError) as error:
            self._capabilities.drop(job.capability, f"{type(error).__name__}")
            return self._failed(str(error) or type(error).__name__)
        async with answer:
            if answer.status == 401:
                self._capabilities.drop(job.capability, "401")
                return self._failed("worker auth token failed")
            try:
                relayed = await self._relay(request, job, answer)
            finally:
                self._capabilities.free(job.capability)
        self._node.report(f"job /{path} of {job.capability}: {answer.status}")
        return relayed

    def _failed(self, reason: str) -> web.Response:
        """The words are the same whether or not it was dropped."""
        self._node.report(f"job failed: {reason}")
        text = f"job not able to be processed, removing capability err={reason}"
        failure = http_error(500, text)
        failure.headers["Livepeer-Balance"] = "0"
        return failure

    async def _relay(
        self, request: web.Request, job: Job, answer: ClientResponse
    ) -> web.StreamResponse:
        kind = answer.headers.get("Content-Type", "")
        metadata = {"X-Metadata": answer.headers.get("X-Metadata", "")}
        if "text/event-stream" in kind:  # whatever the status
            return await _relay_events(request, answer, metadata, job.seconds)
        try:
            data = await answer.read()
        except (ClientError, OSError):
            failure = http_error(500, "unexpected EOF")
        else:
            if answer.status <= 399:  # 201 and the like are lost
                headers = {**metadata, "Content-Type": kind, "Livepeer-Balance": "0"}
                return web.Response(body=data, headers=headers)
            failure = http_error(answer.status, data.decode(errors="replace"))
        failure.headers.update({**metadata, "Livepeer-Balance": "0"})
        return failure


async def _relay_events(
    request: web.Request, answer: ClientResponse, metadata: dict[str, str], seconds: float
) -> web.StreamResponse:
    """Relays to the time limit, or until the caller hangs up; newlines follow the end of
    what the container says, even if that was [DONE]."""
    headers = {
        **metadata,
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "Livepeer-Payment-Balance": "0",
    }
    relayed = web.StreamResponse(headers=headers)
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            await relayed.prepare(request)
            async for line in _lines(answer.content):
                if b"[DONE]" in line:
                    await relayed.write(b'data: {"balance": 0.000}\n\n\n')
                await relayed.write(line + b"\n")
            while True:
                await relayed.write(b"\n")
                await asyncio.sleep(FLOOD_SECONDS)
    return relayed


async def _lines(content: StreamReader) -> AsyncIterator[bytes]:
    """As bufio.Scanner finds them: one that is too long ends them."""
    rest = b""
    with suppress(ClientError, OSError):
        async for piece in content.iter_any():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if len(line) > LONGEST_LINE:
                    return
                yield line.removesuffix(b"\r")
            if len(rest) > LONGEST_LINE:
                return
        if rest:
            yield rest.removesuffix(b"\r")
