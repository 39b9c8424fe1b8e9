"""Who has reserved a session, and counts it until it is released there, too."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

import aiohttp
import structlog
from pydantic import BaseModel, Field
from starlette.requests import Request

from .channels import Channels, Url
from .errors import JobError
from .trickle import (
    FAILURES,
    RETRY_SECONDS,
    ChannelLostError,
    Outage,
    is_gone,
    new_client,
)
from .trust import Tls

CALLBACK_SECONDS = 5
MAX_ANSWER_BYTES = 65_536
# An orchestrator that has not released a session by then never will.
RELEASE_SECONDS = 600
LOOK_SECONDS = 5
# A session that is not known (any more) needs no release.
UNKNOWN = (401, 404)
# The channels of a live runner's session, by their names there, in the order of `Channels`.
MIME_TYPES = {
    "in": "video/mp2t",
    "out": "video/mp2t",
    "control": "application/json",
    "events": "application/json",
    "data": "application/jsonl",
}

log = structlog.get_logger()


class Reservation(ABC):
    """`owns_channels`: the container has made the channels, and keeps them alive."""

    owns_channels: bool

    @abstractmethod
    async def release(self) -> None:
        """Until the orchestrator counts the session no more, or RELEASE_SECONDS."""


class StreamReservation(Reservation):
    """A BYOC orchestrator's, which closes the channels to release the session (contract §3.5)."""

    owns_channels = False

    def __init__(self, channels: Channels, tls: Tls) -> None:
        self._url = channels.control_url or channels.subscribe_url
        self._tls = tls

    async def release(self) -> None:
        """Nobody but its caller can ask for it: this waits until the channels are gone."""
        outage = Outage()
        with suppress(TimeoutError, ChannelLostError):
            async with asyncio.timeout(RELEASE_SECONDS), new_client(self._tls) as http:
                while True:
                    if await is_gone(http, self._url, outage):
                        return
                    await asyncio.sleep(LOOK_SECONDS)


class Created(BaseModel):
    """A channel as callers reach it and, where that differs, as we do."""

    name: str
    url: Url
    internal_url: Url | None = None


class Creation(BaseModel):
    channels: list[Created] = Field(max_length=25)


class RunnerReservation(Reservation):
    """A live runner's orchestrator's, which is called back (contract §5.4)."""

    owns_channels = True

    def __init__(self, control: str, token: str, tls: Tls) -> None:
        self._url = control.rstrip("/")
        self._token = token
        self._tls = tls

    async def create_channels(self) -> tuple[Channels, dict[str, str]]:
        """The channels as we reach them, and as the caller does, by the caller's own names.

        Raises JobError.
        """
        wanted = [{"name": name, "mime_type": kind} for name, kind in MIME_TYPES.items()]
        try:
            answer = await self._post("channels", {"channels": wanted})
            made = {one.name: one for one in Creation.model_validate_json(answer).channels}
            channels = Channels(*(made[name].internal_url or made[name].url for name in MIME_TYPES))
        except (*FAILURES, LookupError, ValueError) as error:
            words = f"the orchestrator did not create the session's channels: {reason(error)}"
            raise JobError("transport", words, status=502) from None
        return channels, {
            "publish_url": made["in"].url,
            "subscribe_url": made["out"].url,
            "control_url": made["control"].url,
            "events_url": made["events"].url,
            "data_url": made["data"].url,
        }

    async def release(self) -> None:
        """Asks for it, again and again: its viewers wait for the end, and its place is taken."""
        told = False
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                while failure := await self._give_back():
                    if not told:
                        log.warning("session not released yet", reason=failure)
                    told = True
                    await asyncio.sleep(RETRY_SECONDS)

    async def _give_back(self) -> str:
        """Why that has failed, empty when it has not."""
        try:
            await self._post("stop", None)
        except aiohttp.ClientResponseError as error:
            return "" if error.status in UNKNOWN else reason(error)
        except (*FAILURES, ValueError) as error:
            return reason(error)
        return ""

    async def _post(self, action: str, body: Any) -> bytes:
        """The answer's body. Raises FAILURES, and ValueError."""
        headers = {"Livepeer-Session-Token": self._token}
        text = b""
        async with (
            asyncio.timeout(CALLBACK_SECONDS),
            new_client(self._tls) as http,
            http.post(
                f"{self._url}/{action}",
                json=body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=True,
            ) as answer,
        ):
            async for data in answer.content.iter_any():
                text += data
                if len(text) > MAX_ANSWER_BYTES:
                    raise ValueError("too long")
        return text


def runner_reservation(request: Request, tls: Tls) -> RunnerReservation | None:
    """None when the request did not come through a live-runner proxy (contract §5.3)."""
    control, token = (request.headers.get(f"Livepeer-Session-{it}") for it in ("Control", "Token"))
    if not control or not token or not request.headers.get("Livepeer-Session-Id"):
        return None
    return RunnerReservation(control, token, tls)


def reason(error: Exception) -> str:
    """No address: those are secrets."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"it answers {error.status}"
    return type(error).__name__
