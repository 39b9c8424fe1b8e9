"""The way of a job through an orchestrator: as a call of a live runner."""

from argparse import Namespace

from aiohttp import ClientSession

from .asking import Headers
from .discovery import add_options as add_options
from .discovery import find

WHO = "the orchestrator"


async def locate(http: ClientSession, options: Namespace) -> tuple[str, str, Headers]:
    """Whom to send the job to, where, and with which headers (contract §5.3)."""
    return WHO, f"{await find(http, options.orchestrator, options.app)}/run", {}
