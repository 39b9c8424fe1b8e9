"""Trickle channels: numbered segments, each of them one HTTP request.

Their server is go-livepeer's trickle/trickle_server.go. Their addresses are secrets, and are
never logged.
"""

import asyncio
import time

import aiohttp

from .tls import Tls

# A channel that can't be reached is given up after this long, one that does not exist at once.
LOST_SECONDS = 30
RETRY_SECONDS = 0.5
CONNECT_SECONDS = 10
# For responses that the server gives by itself, without waiting for a writer or a reader.
ASK_SECONDS = 2
FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class ChannelClosedError(Exception):
    """The channel does not exist any more."""


class ChannelLostError(Exception):
    """The channel could not be reached for LOST_SECONDS."""


class Outage:
    """The time for which all requests to a channel have failed."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def active(self) -> bool:
        return self._since is not None

    def end(self) -> None:
        """A request has succeeded."""
        self._since = None

    def record_failure(self) -> None:
        """A request has failed. Raises ChannelLostError once all have for LOST_SECONDS."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > LOST_SECONDS:
            raise ChannelLostError


def new_client(tls: Tls) -> aiohttp.ClientSession:
    """For channels; how long a response may take is up to each request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def header_number(response: aiohttp.ClientResponse, header: str, default: int) -> int:
    """The number in the header, the default if there is none."""
    text = response.headers.get(header, "")
    return int(text) if text.isascii() and text.isdigit() else default


async def is_gone(http: aiohttp.ClientSession, url: str, outage: Outage) -> bool:
    """True when the channel certainly does not exist any more. Raises ChannelLostError."""
    try:
        async with asyncio.timeout(ASK_SECONDS), http.get(f"{url.rstrip('/')}/next") as response:
            outage.end()
            return response.status == 404
    except FAILURES:
        outage.record_failure()
        return False
