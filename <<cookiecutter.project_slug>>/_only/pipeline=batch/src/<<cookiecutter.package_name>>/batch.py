"""What one batch session does: take the request in, run the model on it, send the answer out."""

import asyncio
import re
import time
import uuid
from contextlib import suppress
from typing import NamedTuple

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from . import sse
from .engine.dispatcher import Dispatcher
from .engine.job import Job, Part
from .engine.supervisor import Supervisor
from .errors import JobError
from .ops.metrics import Metrics
from .orchestrator import Orchestrator
from .sessions import Session, Sessions
from .settings import Settings

# Of an answer, that are handed over at once.
PIECE_BYTES = 262_144
IDENTIFIER = re.compile(r"[\w.:-]{1,128}", re.ASCII)

log = structlog.get_logger()


class Batch(NamedTuple):
    """What every job needs."""

    settings: Settings
    sessions: Sessions
    supervisor: Supervisor
    dispatcher: Dispatcher
    metrics: Metrics
    orchestrator: Orchestrator


class BatchResponse(Response):
    """One job and its answer: what the model returned, or what went wrong."""

    def __init__(self, batch: Batch, request: Request) -> None:
        super().__init__()
        self._batch = batch
        self._request = request
        self._session_id = identifier(request, "Livepeer-Session-Id")
        self._request_id = identifier(request, "X-Request-Id")
        self._admitted = False
        self._begun = False
        self._streaming = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        outcome = "ok"
        reason: dict[str, str] = {}
        with structlog.contextvars.bound_contextvars(
            session_id=self._session_id, request_id=self._request_id
        ):
            try:
                await self._batch.orchestrator.authorize(self._request)
                async with self._batch.sessions.admit(self._session_id) as session:
                    await self._serve(session, scope, receive, send)
            except JobError as error:
                outcome, reason = error.type, {"reason": error.message}
                await self._fail(error, scope, receive, send)
            except Exception:
                outcome = "internal"
                log.exception("job failed inside the container")
                failure = JobError("internal", "the container failed on this job")
                await self._fail(failure, scope, receive, send)
            seconds = round(time.perf_counter() - started, 4)
            log.info("job ended", outcome=outcome, seconds=seconds, **reason)

    async def _serve(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        self._admitted = True
        settings, _, supervisor, dispatcher, metrics, _ = self._batch
        body = await read_body(receive, self._request.headers, settings)
        job = Job(
            body,
            self._request.headers.get("content-type", ""),
            session_id=self._session_id,
            request_id=self._request_id,
        )
        watch = asyncio.create_task(cut_when_gone(receive, session))
        try:
            supervisor.require_ready()
            dispatcher.submit(job)
            metrics.frames_in.inc()
            part = await job.next()
            if part is not None and part.kind == "answer":
                await self._answer(part, send)
            else:
                await self._stream(job, part, send)
            metrics.frames_out.inc()
        finally:
            watch.cancel()
            dispatcher.withdraw(job)

    async def _answer(self, part: Part, send: Send) -> None:
        """The session is open as long as the caller reads, since what is large goes out in pieces:
        one is handed over when the one before it has gone.
        """
        headers = self._answer_headers(part.content_type)
        headers["Content-Length"] = str(len(part.data))
        await self._begin(headers, send)
        if len(part.data) <= PIECE_BYTES:
            await send({"type": "http.response.body", "body": part.data})
            return
        for start in range(0, len(part.data), PIECE_BYTES):
            await self._send_on(part.data[start : start + PIECE_BYTES], send)
        await self._end(b"", send)

    async def _stream(self, job: Job, part: Part | None, send: Send) -> None:
        self._streaming = True
        await self._begin(self._answer_headers("text/event-stream"), send)
        while part is not None:
            for event in sse.events(part.data):
                await self._send_on(event, send)
            part = await job.next()
        await self._end(sse.DONE, send)

    async def _begin(self, headers: dict[str, str], send: Send) -> None:
        self._begun = True
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _send_on(self, body: bytes, send: Send, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._batch.settings.send_timeout_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise JobError("timeout", "the answer was read too slowly") from None

    async def _end(self, body: bytes, send: Send) -> None:
        await self._send_on(body, send, more=False)

    async def _fail(self, error: JobError, scope: Scope, receive: Receive, send: Send) -> None:
        self._batch.metrics.errors.labels(type=error.type).inc()
        if error.type == "cancelled":
            self._batch.orchestrator.refresh()
        if self._streaming:
            # A caller who does not read will not read this either.
            with suppress(JobError):
                for event in sse.events(error.json(), b"error"):
                    await self._send_on(event, send)
                await self._end(sse.DONE, send)
        elif not self._begun:
            if self._batch.sessions.closed and not self._admitted:
                await discard_body(receive, self._batch.settings)
            headers = self._answer_headers("application/json") | error.headers()
            await Response(error.json(), error.status, headers)(scope, receive, send)

    def _answer_headers(self, content_type: str) -> dict[str, str]:
        headers = {
            "Content-Type": content_type,
            "Cache-Control": "no-store",
            "X-Session-Id": self._session_id,
            "X-Request-Id": self._request_id,
        }
        if self._batch.sessions.closed:
            headers["Connection"] = "close"
        return headers


def identifier(request: Request, header: str) -> str:
    """The caller's own identifier when it is fit for logs and headers, else a new one."""
    value = request.headers.get(header, "")
    return value if IDENTIFIER.fullmatch(value) else uuid.uuid4().hex


async def read_body(receive: Receive, headers: Headers, settings: Settings) -> bytes:
    """The whole request body; raises JobError when it is too large, too slow or breaks off."""
    limit = settings.max_body_bytes
    too_large = JobError(
        "bad_request", f"the body is larger than {limit} bytes", field="body", status=413
    )
    if int(headers.get("content-length", 0)) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise JobError("cancelled", "the caller hung up")
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit:
                    raise too_large
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        seconds = settings.body_timeout_seconds
        words = f"the body did not arrive within {seconds:g} s"
        raise JobError("timeout", words, field="body", status=408) from None


async def discard_body(receive: Receive, settings: Settings) -> None:
    """What is unread when a connection closes resets it, and the answer may be lost."""
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.body_timeout_seconds):
            while (await receive()).get("more_body", False):
                pass


async def cut_when_gone(receive: Receive, session: Session) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    session.cut(JobError("cancelled", "the caller hung up"))
