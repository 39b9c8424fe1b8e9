"""What callers send to start a session, checked."""

import asyncio

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from .channels import Channels, Url
from .errors import JobError
from .parameters import Params

MAX_REQUEST_BYTES = 1_048_576


class Start(BaseModel):
    """The channels are those that the orchestrator has made, and where they are."""

    gateway_request_id: str | None = None
    stream_id: str | None = None
    subscribe_url: Url
    publish_url: Url | None = None
    control_url: Url | None = None
    events_url: Url | None = None
    data_url: Url | None = None
    params: Params = {}

    @property
    def channels(self) -> Channels:
        return Channels(
            self.subscribe_url, self.publish_url, self.control_url, self.events_url, self.data_url
        )


class LegacyStart(Start):
    """The same; the output is needed."""

    publish_url: Url


class RunnerStart(BaseModel):
    """Behind a live-runner proxy the container has the channels made, and answers where."""

    params: Params = {}


async def read[M: BaseModel](request: Request, kind: type[M], seconds: float) -> M:
    """The body as JSON of this kind; raises JobError that names the first bad field."""
    body = await read_body(request, seconds)
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "body"
        words = first["msg"].removeprefix("Value error, ")
        raise JobError("bad_request", f"{field}: {words}", field=field) from None


async def read_body(request: Request, seconds: float) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_REQUEST_BYTES:
                    words = f"the body is larger than {MAX_REQUEST_BYTES} bytes"
                    raise JobError("bad_request", words, field="body", status=413)
    except TimeoutError:
        words = f"the body did not arrive within {seconds:g} s"
        raise JobError("timeout", words, field="body", status=408) from None
    except ClientDisconnect:
        raise JobError("cancelled", "the caller hung up") from None
    return body
