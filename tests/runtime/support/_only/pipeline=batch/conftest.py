from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from emulator.container import Container, StartContainer
from harness import run_server


@pytest.fixture
def start_server(tmp_path: Path) -> StartContainer:
    """`with start_server(BYOC_CAPACITY="2") as server:` runs a server of its own for one test."""
    return partial(run_server, tmp_path)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One server with the chaos model for every test that leaves it sound."""
    with run_server(tmp_path_factory.mktemp("server"), BYOC_CAPACITY="8") as server:
        yield server
