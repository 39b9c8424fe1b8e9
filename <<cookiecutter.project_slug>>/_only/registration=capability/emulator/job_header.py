"""The header that orchestrators require with a job for a capability (byoc/utils.go)."""

import json
from argparse import ArgumentParser
from base64 import b64encode
from typing import Any

from .asking import Headers

CAPABILITY = "<<cookiecutter.capability_name>>"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--capability", default=CAPABILITY, help="what to ask for: %(default)s")


def job_header(capability: str, job: str, seconds: int, **details: dict[str, Any]) -> Headers:
    """`details`: `request`, `parameters`. Unsigned: valid off-chain (core/orchestrator.go)."""
    header = {
        "id": job,
        "request": json.dumps(details.get("request", {})),
        "parameters": json.dumps(details.get("parameters", {})),
        "capability": capability,
        "sender": "",
        "sig": "",
        "timeout_seconds": seconds,
    }
    return {"Livepeer": b64encode(json.dumps(header).encode()).decode()}
