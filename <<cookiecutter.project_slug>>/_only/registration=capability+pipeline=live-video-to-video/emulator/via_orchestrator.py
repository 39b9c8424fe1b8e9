"""Sends a stream through an orchestrator: to the container that has registered a capability."""

import asyncio
import itertools
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from aiohttp import ClientSession

from .asking import CallError, asking
from .job_header import add_options as add_options
from .job_header import job_header

WHO = "the orchestrator"
JOB_SECONDS, KEEP_ALIVE_SECONDS = 10, 10
PARAMETERS = ("enable_video_ingress", "enable_video_egress", "enable_data_output")
CHANNELS = ("publish_url", "subscribe_url", "control_url", "events_url", "data_url")


@asynccontextmanager
async def open_stream(http: ClientSession, options: Namespace) -> AsyncIterator[dict[str, str]]:
    """Start a stream and yield its channels; stop it at the end (byoc/stream_orchestrator.go).

    The orchestrator answers addresses as the container reaches them, so we use their paths
    at the address that we know.
    """
    parameters = dict.fromkeys(PARAMETERS, True)
    start = job_header(options.capability, options.id, JOB_SECONDS, parameters=parameters)
    stopping = {"stream_id": options.id}
    stop = job_header(options.capability, options.id, JOB_SECONDS, request=stopping)
    url, body = f"{options.orchestrator}/ai/stream/start", {"params": options.params}
    who = f"the orchestrator, asked for {options.capability},"
    async with asking(http, who, url, json=body, headers=start) as answer:
        urls = {name: answer.headers[f"X-{name.replace('_', '-')}"] for name in CHANNELS}
    channels = {name: f"{options.orchestrator}{urlsplit(url).path}" for name, url in urls.items()}
    keeping = asyncio.create_task(keep_alive(http, channels["control_url"]))
    try:
        yield channels
    finally:
        keeping.cancel()
        with suppress(CallError):  # the orchestrator stops it by itself later
            async with asking(http, WHO, f"{options.orchestrator}/ai/stream/stop", headers=stop):
                pass


async def keep_alive(http: ClientSession, url: str) -> None:
    """Send keep-alives until the channel is gone, because streams end without (byoc/trickle.go)."""
    with suppress(CallError):
        for number in itertools.count():
            async with asking(http, WHO, f"{url}/{number}", json={"keep": "alive"}):
                pass
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
