"""What a session's caller sends: media on the input channel, parameters on the control channel."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import aiohttp
import structlog
from pydantic import ValidationError

from ..livepeer.channels import Channels
from ..livepeer.stream_params import ParamsUpdate
from ..livepeer.subscriber import Subscriber
from ..livepeer.trickle import Outage, is_gone
from ..media.source import ByteSource
from .live_settings import LiveSettings
from .outbox import KEEP_ALIVE_SECONDS

MAX_CONTROL_BYTES = 1_048_576
KEEP_ALIVE = {"keep": "alive"}

log = structlog.get_logger()


class LiveInput:
    """Reads the channels that the caller writes.

    Each coroutine returns the reason for which the session has to end, None when it need not.
    `owns_channels`: the container has had the channels created, and keeps them alive.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        settings: LiveSettings,
        channels: Channels,
        *,
        owns_channels: bool,
    ) -> None:
        self._http = http
        self._settings = settings
        self._channels = channels
        self._owns_channels = owns_channels
        # Callers need not write on channels that the container has made (server/ai_http.go).
        self._keep_alive_seconds = KEEP_ALIVE_SECONDS if owns_channels else float("inf")
        self._media_at = self._control_at = time.monotonic()

    async def read_media(self, source: ByteSource) -> str:
        """Fill the source until the input channel ends. Raises ChannelLostError."""
        channel = Subscriber(self._http, self._channels.subscribe_url, self._keep_alive_seconds)
        async with aclosing(channel.segments()) as segments:
            async for segment in segments:
                async for data in segment.chunks():
                    self._media_at = time.monotonic()
                    await source.put(data)
        # A caller closes the input alone, an orchestrator all channels of the session.
        others = (self._channels.publish_url, self._channels.events_url)
        gone = [url for url in others if url and await is_gone(self._http, url, Outage())]
        return "orchestrator_closed" if gone else "input_ended"

    async def read_control(self, update: Callable[[dict[str, Any]], None]) -> str | None:
        """Call `update` with parameters until the channel ends. Raises ChannelLostError."""
        if self._channels.control_url is None:
            return None
        channel = Subscriber(self._http, self._channels.control_url, self._keep_alive_seconds)
        async with aclosing(channel.segments()) as segments:
            async for segment in segments:
                message = await segment.read(MAX_CONTROL_BYTES)
                if not message:
                    continue
                self._control_at = time.monotonic()
                params = parse_control(message)
                if params is not None:
                    update(params)
        if self._owns_channels:
            log.info("control channel gone")
            return None
        return "control_closed"

    async def wait_for_silence(self) -> str:
        """Until the caller has sent nothing for too long, because orchestrators don't always say
        that a stream is over (byoc/stream_orchestrator.go).
        """
        controlled = self._channels.control_url and not self._owns_channels
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            if controlled:
                if now - self._control_at > self._settings.control_timeout_seconds:
                    return "control_silent"
            elif now - self._media_at > self._settings.session_idle_seconds:
                return "idle"


def parse_control(message: bytes) -> dict[str, Any] | None:
    """The parameters in a control message, which gateways repeat after they have changed
    orchestrators (byoc/trickle.go); None where there are none.
    """
    try:
        params: dict[str, Any] | None = ParamsUpdate.model_validate_json(message).params
    except ValidationError:
        params = None
    if params == KEEP_ALIVE:
        return None
    if params is None or "keep" in params:
        log.info("control message ignored", bytes=len(message))
        return None
    return params
