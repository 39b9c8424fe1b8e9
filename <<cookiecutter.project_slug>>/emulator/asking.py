"""How callers ask a container or an orchestrator, and what is said when that fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TCPConnector,
)

SOON = ClientTimeout(total=10)
MOST_WORDS, NO_ROOM = 1000, (429, 503)

type Headers = dict[str, str]


class CallError(Exception):
    """One line for whoever calls."""


class RefusedError(CallError):
    """There is no room for one more."""


def base_url(text: str) -> str:
    """For addresses that paths are appended to."""
    return text.rstrip("/")


def bearer(token: str) -> Headers:
    """For the container, if it has a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def client() -> ClientSession:
    """Orchestrators sign their certificates themselves (contract §1.1)."""
    forever = ClientTimeout(total=None)
    return ClientSession(connector=TCPConnector(limit=0, ssl=False), timeout=forever)


@asynccontextmanager
async def asking(
    http: ClientSession, who: str, url: str, method: str = "POST", **options: Any
) -> AsyncIterator[ClientResponse]:
    """The answer, its body not yet read; CallError when there is none, or no good one.

    A redirection is none either: who follows it asks with another method (contract §5.3).
    """
    options = {"timeout": SOON, "allow_redirects": False, **options}
    try:
        async with http.request(method, url, **options) as answer:
            if answer.status >= 300:
                words = " ".join((await answer.text(errors="replace")).split())[:MOST_WORDS]
                full = answer.status in NO_ROOM and '"worker_crash"' not in words
                kind = RefusedError if full else CallError
                raise kind(f"{who} refuses: {answer.status} {words}")
            yield answer
    except TimeoutError:
        raise CallError(f"{who} does not answer in time") from None
    except ClientPayloadError:
        raise CallError(f"{who} has broken off its answer") from None
    except ClientError as error:
        raise CallError(f"{who} can't be reached: {error}") from None
    except ValueError as error:
        raise CallError(f"{who} answers what can't be read: {error}") from None


async def ask(http: ClientSession, who: str, url: str, method: str = "POST", **options: Any) -> Any:
    """The JSON that is answered, None if nothing is."""
    async with asking(http, who, url, method, **options) as answer:
        return await answer.json(content_type=None)
