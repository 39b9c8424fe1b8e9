"""Containers for the tests: processes of this machine, or with `--image NAME` from an image."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from emulator.container import Container, StartContainer, run_container
from sample import SETTINGS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", default="", help="test this image with test_container.py")


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> str:
    name: str = pytestconfig.getoption("image")
    return name


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container for all tests of a file that leave it running."""
    folder = tmp_path_factory.mktemp("container")
    with run_container(folder, image=image, **SETTINGS) as container:
        yield container


@pytest.fixture
def start(image: str, tmp_path: Path) -> StartContainer:
    """`with start(BYOC_CAPACITY="2") as container:` runs one for a single test."""
    return partial(run_container, tmp_path, image=image, **SETTINGS)
