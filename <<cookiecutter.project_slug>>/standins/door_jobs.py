"""The way of a job through an orchestrator: to the container of a capability."""

import uuid
from argparse import Namespace

from aiohttp import ClientSession

from .asking import Headers
from .job_header import add_options as add_options
from .job_header import job_header


async def locate(http: ClientSession, options: Namespace) -> tuple[str, Headers]:
    """Where to send the job, and with which headers (contract §2.1)."""
    header = job_header(options.capability, uuid.uuid4().hex, options.timeout)
    return f"{options.orchestrator}/process/request/run", header
