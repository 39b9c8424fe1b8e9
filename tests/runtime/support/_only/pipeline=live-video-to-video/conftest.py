import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from emulator.container import Container, StartContainer
from emulator.trickle import TrickleServer, run_trickle_server
from harness import run_server
from streaming import Caller


@pytest.fixture
def start_server(tmp_path: Path) -> StartContainer:
    """`with start_server(BYOC_CAPACITY="2") as server:` runs a server of its own for one test."""
    return partial(run_server, tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One server with the chaos model for a module; no frame is late on a slow machine."""
    folder = tmp_path_factory.mktemp("server")
    with run_server(folder, BYOC_CAPACITY="8", BYOC_MAX_LATENCY_SECONDS="20") as server:
        yield server


@pytest.fixture(scope="module")
def trickle() -> Iterator[TrickleServer]:
    with run_trickle_server() as trickle:
        yield trickle


@pytest.fixture
def caller(
    server: Container, trickle: TrickleServer, request: pytest.FixtureRequest
) -> Iterator[Caller]:
    """The other end of one stream, which has the test's name."""
    name = re.sub(r"\W+", "-", request.node.name)[-64:]
    with Caller(server, trickle, name) as caller:
        yield caller
        caller.stop()
