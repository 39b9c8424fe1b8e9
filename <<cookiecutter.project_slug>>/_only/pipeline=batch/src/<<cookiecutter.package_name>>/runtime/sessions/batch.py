"""What one batch session does: receive the request, run the model on it, send the answer."""

import asyncio
import time
import uuid
from contextlib import suppress
from typing import NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import JobError
from ..http.body import discard_body, read_body
from ..livepeer.registrar import Registrar
from ..metrics import FrameMetrics, Metrics
from ..settings import ContainerSettings
from ..worker.job import Job, Part
from ..worker.job_dispatcher import JobDispatcher
from ..worker.job_settings import JobSettings
from ..worker.job_slot import JobSlot
from ..worker.supervisor import Supervisor
from . import sse
from .admission import IDENTIFIER
from .batch_admission import BatchAdmission, JobSession

# An answer is sent in pieces of at most this many bytes.
PIECE_BYTES = 262_144

log = structlog.get_logger()


class BatchContext(NamedTuple):
    """What all jobs share."""

    container: ContainerSettings
    jobs: JobSettings
    metrics: Metrics
    frames: FrameMetrics
    admission: BatchAdmission
    supervisor: Supervisor[JobSlot]
    dispatcher: JobDispatcher
    registrar: Registrar


class BatchResponse(Response):
    """One job and its answer: what the model returned, or what went wrong."""

    def __init__(self, context: BatchContext, request: Request) -> None:
        super().__init__()
        self._context = context
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
                await self._context.registrar.authorize(self._request)
                async with self._context.admission.admit(self._session_id) as session:
                    await self._serve(session, receive, send)
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

    async def _serve(self, session: JobSession, receive: Receive, send: Send) -> None:
        self._admitted = True
        context, headers = self._context, self._request.headers
        limits = context.container
        body = await read_body(receive, headers, limits.max_body_bytes, limits.body_timeout_seconds)
        job = Job(
            body,
            headers.get("content-type", ""),
            session_id=self._session_id,
            request_id=self._request_id,
        )
        watch = asyncio.create_task(cut_when_gone(receive, session))
        try:
            context.supervisor.require_ready()
            context.dispatcher.enqueue(job)
            context.frames.frames_in.inc()
            part = await job.next()
            if part is not None and part.kind == "answer":
                await self._answer(part, send)
            else:
                await self._stream(job, part, send)
            context.frames.frames_out.inc()
        finally:
            watch.cancel()
            context.dispatcher.drop(job)

    async def _answer(self, part: Part, send: Send) -> None:
        """A large answer is sent in pieces, each when the one before it has gone out, because the
        session must stay open for as long as the caller reads.
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
            async with asyncio.timeout(self._context.jobs.send_timeout_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise JobError("timeout", "the answer was read too slowly") from None

    async def _end(self, body: bytes, send: Send) -> None:
        await self._send_on(body, send, more=False)

    async def _fail(self, error: JobError, scope: Scope, receive: Receive, send: Send) -> None:
        context = self._context
        context.metrics.count_error(error.type)
        if error.type == "cancelled":
            context.registrar.refresh()
        if self._streaming:
            # A caller who does not read will not read this either.
            with suppress(JobError):
                for event in sse.events(error.json(), b"error"):
                    await self._send_on(event, send)
                await self._end(sse.DONE, send)
        elif not self._begun:
            if context.admission.closed and not self._admitted:
                await discard_body(receive, context.container.body_timeout_seconds)
            headers = self._answer_headers("application/json") | error.headers()
            await Response(error.json(), error.status, headers)(scope, receive, send)

    def _answer_headers(self, content_type: str) -> dict[str, str]:
        headers = {
            "Content-Type": content_type,
            "Cache-Control": "no-store",
            "X-Session-Id": self._session_id,
            "X-Request-Id": self._request_id,
        }
        if self._context.admission.closed:
            headers["Connection"] = "close"
        return headers


def identifier(request: Request, header: str) -> str:
    """The caller's own identifier when it is fit for logs and headers, else a new one."""
    value = request.headers.get(header, "")
    return value if IDENTIFIER.fullmatch(value) else uuid.uuid4().hex


async def cut_when_gone(receive: Receive, session: JobSession) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    session.cut(JobError("cancelled", "the caller hung up"))
