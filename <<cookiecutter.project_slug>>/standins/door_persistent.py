"""The way of a stream through an orchestrator: as a session of a live runner."""

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientSession

from .asking import CallError, ask, bearer
from .discovery import add_options as add_options
from .discovery import find

WHO = "the orchestrator"


@asynccontextmanager
async def open_stream(http: ClientSession, options: Namespace) -> AsyncIterator[dict[str, str]]:
    """The session's channels; it is given back at the end (contract §5.3)."""
    session = await ask(http, WHO, await find(http, options.orchestrator, options.app))
    try:
        start = f"{session['app_url']}/stream/start"
        body, headers = {"params": options.params}, bearer(options.token)
        yield await ask(http, WHO, start, json=body, headers=headers)
    finally:
        with suppress(CallError):  # it is as good as stopped
            await ask(http, WHO, f"{session['control_url']}/stop")
