"""The way of a job through an orchestrator: to the container of a capability."""

import uuid
from argparse import Namespace

from aiohttp import ClientSession

from .asking import Headers
from .job_header import add_options as add_options
from .job_header import job_header


async def locate(http: ClientSession, options: Namespace) -> tuple[str, str, Headers]:
    """Whom to send the job to, where, and with which headers (contract §2.1)."""
    header = job_header(options.capability, uuid.uuid4().hex, options.timeout)
    who = f"the orchestrator, asked for {options.capability},"
    return who, f"{options.orchestrator}/process/request/run", header
