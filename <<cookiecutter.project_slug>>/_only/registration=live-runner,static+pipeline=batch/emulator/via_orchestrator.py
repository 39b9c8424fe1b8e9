"""Sends a job through an orchestrator: to a live runner."""

from argparse import Namespace

from aiohttp import ClientSession

from .asking import Headers
from .discovery import add_options as add_options
from .discovery import find

WHO = "the orchestrator"


async def locate(http: ClientSession, options: Namespace) -> tuple[str, str, Headers]:
    """The server's name for errors, the URL for the job, and its headers (server/ai_http.go)."""
    return WHO, f"{await find(http, options.orchestrator, options.app)}/run", {}
