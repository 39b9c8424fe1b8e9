"""Answers, on both ports, to what no route serves: invalid HTTP, an unknown path or method."""

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..errors import JobError
from ..metrics import Metrics

# Of a head, of trailers, or of whatever else comes before more of a body does.
MAX_HEAD_BYTES = 65_536
BODY_HEADERS = (b"content-length", b"transfer-encoding")

type Handlers = dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]


def respond(error: JobError) -> Response:
    return Response(error.json(), error.status, error.headers(), "application/json")


def exception_handlers(metrics: Metrics) -> Handlers:
    """Handlers of the errors that no route has handled; each one is counted."""

    async def unserved(request: Request, error: HTTPException) -> Response:
        metrics.count_error("bad_request")
        message = f"{request.method} {request.scope['path']}: {error.detail.lower()}"
        answer = respond(JobError("bad_request", message, status=error.status_code))
        answer.headers.update(error.headers or {})
        return answer

    async def failed(request: Request, error: Exception) -> Response:
        """uvicorn logs the error and closes the connection."""
        metrics.count_error("internal")
        answer = respond(JobError("internal", "the container failed on this request"))
        answer.headers["Connection"] = "close"
        return answer

    return {HTTPException: unserved, Exception: failed}


def protocol(metrics: Metrics) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP protocol, with a bound on the head and with errors of the usual form."""
    invalid = JobError("bad_request", "the request is not valid HTTP", status=400)
    words = f"the head of the request is larger than {MAX_HEAD_BYTES} bytes"
    too_large = JobError("bad_request", words, status=431)

    class Protocol(HttpToolsProtocol):
        refused = False
        head_bytes = 0  # received since the last complete head or piece of a body
        field_bytes = 0

        def data_received(self, data: bytes) -> None:
            if self.refused:
                return
            self.head_bytes += len(data)
            super().data_received(data)
            if self.head_bytes > MAX_HEAD_BYTES and not self.refused:
                self.refuse(too_large)

        def on_header(self, name: bytes, value: bytes) -> None:
            self.field_bytes += len(name) + len(value)
            if self.field_bytes > MAX_HEAD_BYTES:
                raise ValueError  # stops the parser; uvicorn then calls send_400_response
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self.head_bytes = self.field_bytes = 0
            super().on_headers_complete()
            if self.parser.should_upgrade():
                self.forbid_upgrade()

        def on_body(self, body: bytes) -> None:
            self.head_bytes = 0
            super().on_body(body)

        def forbid_upgrade(self) -> None:
            """Refuse a body, because the parser stops at a head with Upgrade and would lose it."""
            self.cycle.keep_alive = False
            if any(name in BODY_HEADERS and value != b"0" for name, value in self.headers):
                words = "a body with an Upgrade header is not read: use HTTP/1.1 without it"
                self.refuse(JobError("bad_request", words, field="Upgrade", status=400))

        def send_400_response(self, msg: str) -> None:
            self.refuse(too_large if self.field_bytes > MAX_HEAD_BYTES else invalid)

        def refuse(self, error: JobError) -> None:
            """Answer and close, after the requests that came before have been answered."""
            self.refused = True
            metrics.count_error(error.type)
            if self.cycle and not self.cycle.response_complete:
                if self.pipeline or self.cycle.response_started or not self.cycle.more_body:
                    self.cycle.keep_alive = False
                    return
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            answer = respond(error)
            head = [*answer.raw_headers, (b"connection", b"close")]
            lines = [b"%b: %b\r\n" % header for header in head]
            self.transport.write(
                b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(answer.body)])
            )
            self.transport.close()

    return Protocol
