"""The container's own client of channels: how tests use it is said here alone."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from my_model.runtime.livepeer.publisher import Publisher
from my_model.runtime.livepeer.subscriber import MAX_SEGMENT_BYTES, Subscriber
from my_model.runtime.livepeer.trickle import ChannelClosedError, new_client

__all__ = ["ChannelClosedError", "publishing", "segments"]


@asynccontextmanager
async def publishing(url: str, mime_type: str = "text/plain") -> AsyncIterator[Publisher]:
    """At the end the channel is closed for everybody."""
    async with new_client(tls=False) as http:
        publisher = Publisher(http, url, mime_type, on_break=print)
        try:
            yield publisher
        finally:
            await publisher.close_channel()


async def segments(url: str) -> AsyncGenerator[bytes]:
    """What each holds, from the current one to the end of the channel."""
    async with new_client(tls=False) as http:
        async for segment in Subscriber(http, url).segments():
            yield await segment.read(MAX_SEGMENT_BYTES)
