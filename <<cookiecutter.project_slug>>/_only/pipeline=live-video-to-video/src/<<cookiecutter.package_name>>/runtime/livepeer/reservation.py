"""A session's reservation at its orchestrator, which counts the session until it is released."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

import aiohttp
import structlog
from pydantic import BaseModel, Field
from starlette.requests import Request

from ..errors import JobError
from .channels import Channels, Url
from .tls import Tls
from .trickle import (
    FAILURES,
    RETRY_SECONDS,
    ChannelLostError,
    Outage,
    is_gone,
    new_client,
)

CALLBACK_SECONDS = 5
MAX_RESPONSE_BYTES = 65_536
# An orchestrator that has not released a session by then never will.
RELEASE_SECONDS = 600
POLL_SECONDS = 5
# Statuses for a session that the orchestrator does not know (any more), and need not release.
UNKNOWN = (401, 404)
# The channels of a live runner's session, by their names there.
MIME_TYPES = {
    "in": "video/mp2t",
    "out": "video/mp2t",
    "control": "application/json",
    "events": "application/json",
    "data": "application/jsonl",
}
# Live-runner proxies set all three (server/ai_http.go).
ID_HEADER = "Livepeer-Session-Id"
TOKEN_HEADER = "Livepeer-Session-Token"
CALLBACK_HEADER = "Livepeer-Session-Control"

log = structlog.get_logger()


class Reservation(ABC):
    """`owns_channels`: the container has had the channels created, and keeps them alive."""

    owns_channels: ClassVar[bool]

    @abstractmethod
    async def release(self) -> None:
        """Wait until the orchestrator does not count the session any more, or RELEASE_SECONDS."""


class StreamReservation(Reservation):
    """At a BYOC orchestrator, which closes the channels to release the session
    (byoc/stream_orchestrator.go).
    """

    owns_channels = False

    def __init__(self, channels: Channels, tls: Tls) -> None:
        self._url = channels.control_url or channels.subscribe_url
        self._tls = tls

    async def release(self) -> None:
        """Wait until the channels are gone, because only the caller can request the release."""
        outage = Outage()
        with suppress(TimeoutError, ChannelLostError):
            async with asyncio.timeout(RELEASE_SECONDS), new_client(self._tls) as http:
                while True:
                    if await is_gone(http, self._url, outage):
                        return
                    await asyncio.sleep(POLL_SECONDS)


class CreatedChannel(BaseModel):
    """A channel as callers reach it and, where that differs, as the container does."""

    name: str
    url: Url
    internal_url: Url | None = None


class CreatedChannels(BaseModel):
    """What the orchestrator responds."""

    channels: list[CreatedChannel] = Field(max_length=25)


class SessionChannels(NamedTuple):
    """The channels as the container reaches them, and as the caller does, by the caller's names."""

    internal: Channels
    public: dict[str, str]


class RunnerReservation(Reservation):
    """At a live runner's orchestrator, which is called back (server/ai_http.go)."""

    owns_channels = True

    def __init__(self, callback_url: str, token: str, tls: Tls) -> None:
        self._url = callback_url.rstrip("/")
        self._token = token
        self._tls = tls

    async def create_channels(self) -> SessionChannels:
        """Have the orchestrator create the session's channels. Raises JobError."""
        wanted = [{"name": name, "mime_type": kind} for name, kind in MIME_TYPES.items()]
        try:
            response = await self._post("channels", {"channels": wanted})
            created = CreatedChannels.model_validate_json(response).channels
            channels = {channel.name: channel for channel in created}
            public = {name: channels[name].url for name in MIME_TYPES}
        except (*FAILURES, LookupError, ValueError) as error:
            words = f"the orchestrator did not create the session's channels: {reason(error)}"
            raise JobError("transport", words, status=502) from None
        internal = {name: channels[name].internal_url or url for name, url in public.items()}
        return SessionChannels(
            # The container subscribes to what the caller publishes, and the other way round.
            Channels(
                subscribe_url=internal["in"],
                publish_url=internal["out"],
                control_url=internal["control"],
                events_url=internal["events"],
                data_url=internal["data"],
            ),
            {
                "publish_url": public["in"],
                "subscribe_url": public["out"],
                "control_url": public["control"],
                "events_url": public["events"],
                "data_url": public["data"],
            },
        )

    async def release(self) -> None:
        """Request the release until that succeeds, because an unreleased session takes up capacity,
        and its viewers wait for its end.
        """
        logged = False
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                while failure := await self._request_release():
                    if not logged:
                        log.warning("session not released yet", reason=failure)
                    logged = True
                    await asyncio.sleep(RETRY_SECONDS)

    async def _request_release(self) -> str:
        """Returns why it has failed, empty when it has not."""
        try:
            await self._post("stop", None)
        except aiohttp.ClientResponseError as error:
            return "" if error.status in UNKNOWN else reason(error)
        except (*FAILURES, ValueError) as error:
            return reason(error)
        return ""

    async def _post(self, action: str, body: Any) -> bytes:
        """The response's body. Raises FAILURES, and ValueError."""
        text = b""
        async with (
            asyncio.timeout(CALLBACK_SECONDS),
            new_client(self._tls) as http,
            http.post(
                f"{self._url}/{action}",
                json=body,
                headers={TOKEN_HEADER: self._token},
                allow_redirects=False,
                raise_for_status=True,
            ) as response,
        ):
            async for data in response.content.iter_any():
                text += data
                if len(text) > MAX_RESPONSE_BYTES:
                    raise ValueError("too long")
        return text


def is_proxied(request: Request) -> bool:
    """The request came through a live-runner proxy."""
    names = (ID_HEADER, TOKEN_HEADER, CALLBACK_HEADER)
    return all(request.headers.get(name) for name in names)


def runner_reservation(request: Request, tls: Tls) -> RunnerReservation | None:
    """None when the request did not come through a live-runner proxy."""
    if not is_proxied(request):
        return None
    return RunnerReservation(request.headers[CALLBACK_HEADER], request.headers[TOKEN_HEADER], tls)


def reason(error: Exception) -> str:
    """Without the address, which is a secret."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"it answers {error.status}"
    return type(error).__name__
