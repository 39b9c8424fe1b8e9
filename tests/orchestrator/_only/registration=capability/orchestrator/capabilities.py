"""Capabilities as core/external_capabilities.go keeps them, and the jobs that ask for them."""

import asyncio
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from .golang import RefusedError, integer, string, struct, unmarshal
from .node import Node

KEEP_ALIVE_SECONDS = 60
MOST_REDIRECTS = 10
CAPABILITY = struct(
    {
        **dict.fromkeys(("name", "description", "url", "currency", "token"), string),
        **dict.fromkeys(("capacity", "price_per_unit", "price_scaling", "load"), integer),
    }
)
CURRENCIES = ("", "wei", "eth")
JOB = struct(
    {
        **dict.fromkeys(("id", "request", "parameters", "capability", "sender", "sig"), string),
        "timeout_seconds": integer,
    }
)
DETAILS = struct({"stream_id": string})


@dataclass
class Capability:
    """`load` is what the orchestrator takes for the number of jobs."""

    name: str
    url: str
    capacity: int
    token: str
    load: int


class Job(NamedTuple):
    """What the Livepeer header says, and the URL at which the capability was registered."""

    id: str
    capability: str
    url: str
    parameters: str
    stream_id: str
    seconds: int


class Capabilities:
    """By name, kept until they are dropped."""

    def __init__(self, node: Node) -> None:
        self.by_name: dict[str, Capability] = {}
        self._node = node

    def drop(self, name: str, reason: str) -> None:
        if self.by_name.pop(name, None):
            self._node.report(f"capability {name} dropped: {reason}")

    def available(self, name: str) -> int:
        """Never below 0, and 0 for what is unknown (core/ai_orchestrator.go)."""
        capability = self.by_name.get(name)
        return max(capability.capacity - capability.load, 0) if capability else 0

    def free(self, name: str) -> None:
        """Frees a slot, whether or not it was this entry that was reserved."""
        if capability := self.by_name.get(name):
            capability.load -= 1

    def job(self, header: str, reserve: bool) -> Job:
        """Reserving does not look at the capacity, and is not undone when the
        header turns out wrong (byoc/job_orchestrator.go)."""
        try:
            job = unmarshal(b64decode(header, validate=True), JOB)
        except ValueError:
            raise RefusedError(400, "Could not verify job creds") from None
        if not job["timeout_seconds"]:
            text = "no timeout_seconds set with request, timeout_seconds is required"
            raise RefusedError(400, text)
        if not is_signature(job["sig"]):
            raise RefusedError(400, "Could not verify job creds")
        capability = self.by_name.get(job["capability"])
        if reserve and not capability:
            raise RefusedError(503, "No capacity available for capability")
        if reserve and capability:
            capability.load += 1
        try:
            details = unmarshal(job["request"], DETAILS)
        except ValueError as error:
            text = f"Unable to unmarshal job request details err={error}"
            raise RefusedError(400, text) from None
        return Job(
            job["id"],
            job["capability"],
            capability.url if capability else "",
            job["parameters"],
            details["stream_id"],
            job["timeout_seconds"],
        )


def is_signature(text: str) -> bool:
    """Hex; what a gateway without a key sends, 0x, is none (byoc/job_orchestrator.go)."""
    return bool(re.fullmatch("(?:[0-9A-Fa-f]{2})*", text[2:] if len(text) > 130 else text))


def client() -> ClientSession:
    """Idle connections are used again for 60 s, certificates are not verified (byoc/types.go)."""
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=False),
        timeout=ClientTimeout(total=None),
        headers={"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"},
        skip_auto_headers=("Accept", "Content-Type"),
    )


async def call(
    http: ClientSession,
    url: URL,
    capability: Capability | None,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float,
) -> ClientResponse:
    """A POST to the container; the time is that until the headers (byoc/utils.go)."""
    # As a file: aiohttp warns of large bodies that are none.
    data = BytesIO(body)
    token = capability.token if capability else ""
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    async with asyncio.timeout(max(seconds, 0)):
        return await http.post(
            url, data=data, headers={**headers, **authorization}, max_redirects=MOST_REDIRECTS
        )
