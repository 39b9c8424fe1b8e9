"""Reads the body of a request, bounded in bytes and in time."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Receive

from ..errors import JobError


async def read_body(receive: Receive, headers: Headers, limit: int, seconds: float) -> bytes:
    """All of it; raises JobError when it is larger than `limit` bytes, too slow or breaks off."""
    too_large = JobError(
        "bad_request", f"the body is larger than {limit} bytes", field="body", status=413
    )
    if int(headers.get("content-length", 0)) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise JobError("cancelled", "the caller hung up")
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit:
                    raise too_large
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        words = f"the body did not arrive within {seconds:g} s"
        raise JobError("timeout", words, field="body", status=408) from None


async def discard_body(receive: Receive, seconds: float) -> None:
    """Read the rest of the body, because closing with unread bytes resets the connection."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive()).get("more_body", False):
                pass
