"""What orchestrators want to know of a job for a capability (contract §2.1)."""

import json
from argparse import ArgumentParser
from base64 import b64encode
from typing import Any

from .asking import Headers

CAPABILITY = "<<cookiecutter.capability_name>>"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--capability", default=CAPABILITY, help="its name: %(default)s")


def job_header(
    capability: str,
    job: str,
    seconds: int,
    request: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
) -> Headers:
    """Without a signature, which off-chain orchestrators don't look at (contract §8.2)."""
    details = {
        "id": job,
        "request": json.dumps(request or {}),
        "parameters": json.dumps(parameters or {}),
        "capability": capability,
        "sender": "",
        "sig": "",
        "timeout_seconds": seconds,
    }
    return {"Livepeer": b64encode(json.dumps(details).encode()).decode()}
