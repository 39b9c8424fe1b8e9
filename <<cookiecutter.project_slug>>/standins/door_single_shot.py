"""The way of a job through an orchestrator: as a call of a live runner."""

from argparse import Namespace

from aiohttp import ClientSession

from .asking import Headers
from .discovery import add_options as add_options
from .discovery import find


async def locate(http: ClientSession, options: Namespace) -> tuple[str, Headers]:
    """Where to send the job, and with which headers (contract §5.3)."""
    return f"{await find(http, options.orchestrator, options.app)}/run", {}
