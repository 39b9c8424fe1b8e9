"""Sends a job through an orchestrator: to the container that has registered a capability."""

import uuid
from argparse import Namespace

from aiohttp import ClientSession

from .asking import Headers
from .job_header import add_options as add_options
from .job_header import job_header


async def locate(http: ClientSession, options: Namespace) -> tuple[str, str, Headers]:
    """The name of the server for errors, the URL for the job, and its headers (byoc/byoc.go)."""
    header = job_header(options.capability, uuid.uuid4().hex, options.timeout)
    who = f"the orchestrator, asked for {options.capability},"
    return who, f"{options.orchestrator}/process/request/run", header
