"""Jobs for the chaos model."""

from concurrent.futures import Future
from typing import Any

import httpx

from emulator.container import Container


def do(server: Container, behaviour: str, **order: Any) -> httpx.Response:
    return server.jobs.post("/run", json={"do": behaviour, **order})


def send(server: Container, behaviour: str, **order: Any) -> Future[httpx.Response]:
    """The same without waiting for the answer."""
    return server.pool.submit(do, server, behaviour, **order)
