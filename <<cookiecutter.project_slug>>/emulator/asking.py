"""HTTP calls of a container or an orchestrator, with one-line errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

SOON = aiohttp.ClientTimeout(total=10)
MOST_WORDS, NO_ROOM = 1000, (429, 503)

type Headers = dict[str, str]


class CallError(Exception):
    """A call has failed: one line that says why."""


class RefusedError(CallError):
    """The container or the orchestrator is full."""


def base_url(text: str) -> str:
    """An address to which paths can be appended."""
    return text.rstrip("/")


def bearer(token: str) -> Headers:
    """The header with the container's token, if it has one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def client() -> aiohttp.ClientSession:
    """Accepts any certificate, because orchestrators sign their own (server/cert.go)."""
    forever = aiohttp.ClientTimeout(total=None)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=False), timeout=forever
    )


@asynccontextmanager
async def asking(
    http: aiohttp.ClientSession, who: str, url: str, method: str = "POST", **options: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer, before its body is read. Raises CallError if it is missing or not a success.

    A redirect is not a success, because following it changes the method (server/ai_http.go).
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
    except aiohttp.ClientPayloadError:
        raise CallError(f"{who} broke off its answer") from None
    except aiohttp.ClientError as error:
        raise CallError(f"{who} can't be reached: {error}") from None
    except ValueError as error:
        raise CallError(f"{who} sent an answer that can't be read: {error}") from None


async def ask(
    http: aiohttp.ClientSession, who: str, url: str, method: str = "POST", **options: Any
) -> Any:
    """The answer's JSON, None if it is empty."""
    async with asking(http, who, url, method, **options) as answer:
        return await answer.json(content_type=None)
