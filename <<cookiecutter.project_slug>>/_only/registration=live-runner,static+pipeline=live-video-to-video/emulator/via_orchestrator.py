"""Sends a stream through an orchestrator: as a session of a live runner."""

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
    """Start a session and yield its channels; stop and release it at the end
    (server/ai_http.go).
    """
    session = await ask(http, WHO, await find(http, options.orchestrator, options.app))
    app, headers = f"{session['app_url']}/stream", bearer(options.token)
    try:
        body = {"params": options.params}
        yield await ask(http, WHO, f"{app}/start", json=body, headers=headers)
    finally:
        with suppress(CallError):  # it has ended already
            await ask(http, WHO, f"{app}/stop", headers=headers)
        with suppress(CallError):  # the orchestrator releases it by itself later
            await ask(http, WHO, f"{session['control_url']}/stop")
