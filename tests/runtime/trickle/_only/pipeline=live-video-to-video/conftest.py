"""For a suite that needs no container."""

from collections.abc import Iterator

import httpx
import pytest

from emulator.container import DEADLINE_SECONDS
from emulator.trickle import TrickleServer, run_trickle_server


@pytest.fixture(scope="module")
def server() -> Iterator[TrickleServer]:
    with run_trickle_server() as server:
        yield server


@pytest.fixture
def url(server: TrickleServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A channel of the test's name, of type text/plain."""
    yield server.create(request.node.name, "text/plain")
    server.close_channel(request.node.name)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=DEADLINE_SECONDS) as client:
        yield client
