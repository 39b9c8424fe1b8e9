"""What callers send to start a session, checked; and the channels made for live runners."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from livepeer_gateway.errors import LivepeerGatewayError
from livepeer_gateway.live_runner import create_trickle_channels, stop_runner_session
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from .errors import JobError
from .live import Channels
from .parameters import Params

MAX_REQUEST_BYTES = 1_048_576
CALLBACK_SECONDS = 5
SESSION_HEADERS = ("Livepeer-Session-Id", "Livepeer-Session-Token", "Livepeer-Session-Control")


def http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an absolute http or https address")
    return url


type Url = Annotated[str, Field(max_length=2048), AfterValidator(http_url)]


class Start(BaseModel):
    """POST /stream/start as orchestrators send it (contract §3.2)."""

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
    """POST /live-video-to-video without a session (contract §6)."""

    publish_url: Url


class RunnerStart(BaseModel):
    """Behind a live-runner proxy the container makes the channels (contract §5.4)."""

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


@dataclass
class Callback:
    """How to reach the orchestrator that has reserved a session; the token is a secret."""

    headers: Any

    async def create_channels(self) -> tuple[Channels, dict[str, str]]:
        """The channels as we reach them, and as the caller does, by the caller's own names."""
        names = {"in": "video/mp2t", "out": "video/mp2t", "control": "application/json"}
        names |= {"events": "application/json", "data": "application/jsonl"}
        try:
            made = await create_trickle_channels(
                self,
                [{"name": name, "mime_type": mime_type} for name, mime_type in names.items()],
                timeout=CALLBACK_SECONDS,
            )
            ours = {one["name"]: one.get("internal_url") or one["url"] for one in made}
            theirs = {one["name"]: one["url"] for one in made}
            channels = Channels(*(ours[name] for name in names))
        except (LivepeerGatewayError, KeyError, ValueError, OSError) as error:
            reason = type(error).__name__
            words = f"the orchestrator did not create the session's channels: {reason}"
            raise JobError("transport", words, status=502) from None
        return channels, {
            "publish_url": theirs["in"],
            "subscribe_url": theirs["out"],
            "control_url": theirs["control"],
            "events_url": theirs["events"],
            "data_url": theirs["data"],
        }

    def release(self) -> Coroutine[Any, Any, None]:
        """Give the session back."""
        return stop_runner_session(self, timeout=CALLBACK_SECONDS)


def callback(request: Request) -> Callback | None:
    """None when the request did not come through a live-runner proxy (contract §5.3)."""
    headers = {name: request.headers.get(name, "") for name in SESSION_HEADERS}
    return Callback(headers) if all(headers.values()) else None
