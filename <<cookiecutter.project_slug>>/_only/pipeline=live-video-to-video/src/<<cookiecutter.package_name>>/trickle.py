"""Trickle channels: numbered segments, each of them one HTTP request (contract §4).

Their addresses are secrets, and never logged.
"""

import asyncio
import time

import aiohttp

from .trust import Tls

# Failures may last so long until a channel is given up; one that is gone ends at once.
LOST_SECONDS = 30
RETRY_SECONDS = 0.5
CONNECT_SECONDS = 10
# Who waits for the next byte asks again after so long, as orchestrators do (trickle_subscriber.go).
SILENT_SECONDS = 20
# For an answer that needs nobody but the server.
ASK_SECONDS = 2
FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class ChannelClosedError(Exception):
    """The channel is gone, for everybody."""


class ChannelLostError(Exception):
    """The channel could not be reached for LOST_SECONDS."""


class Outage:
    """Since when all requests to a channel have failed."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def begun(self) -> bool:
        return self._since is not None

    def over(self) -> None:
        """A request has succeeded."""
        self._since = None

    def failed(self) -> None:
        """One has not. Raises ChannelLostError once they have failed for LOST_SECONDS."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > LOST_SECONDS:
            raise ChannelLostError


def new_client(tls: Tls) -> aiohttp.ClientSession:
    """For channels; requests that wait for nobody have shorter deadlines of their own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def number(answer: aiohttp.ClientResponse, header: str, otherwise: int) -> int:
    """What the header holds, if that is a number."""
    text = answer.headers.get(header, "")
    return int(text) if text.isascii() and text.isdigit() else otherwise


async def is_gone(http: aiohttp.ClientSession, url: str, outage: Outage) -> bool:
    """True when the channel certainly does not exist any more. Raises ChannelLostError."""
    try:
        async with asyncio.timeout(ASK_SECONDS), http.get(f"{url.rstrip('/')}/next") as answer:
            outage.over()
            return answer.status == 404
    except FAILURES:
        outage.failed()
        return False
