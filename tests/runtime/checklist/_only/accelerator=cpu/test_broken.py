"""The checklist can fail: each broken container fails at its own item, and at no other."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from breaking import Result, examined, require_that_only_its_item_fails
from catalogue import HERE
from checklist.items import ALL

# They look at an image, or at an orchestrator.
ELSEWHERE = ("image", "registration")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def runs(folder: Path, request: pytest.FixtureRequest) -> Iterator[dict[int, Future[Result]]]:
    with examined(HERE, folder, request.session) as runs:
        yield runs


@pytest.mark.parametrize("number", range(len(HERE)), ids=[each.name for each in HERE])
def test_exactly_its_item_fails(number: int, folder: Path, runs: dict[int, Future[Result]]) -> None:
    broken = HERE[number]
    if broken.needs and not shutil.which(broken.needs):
        pytest.skip(f"{broken.needs} is not on the path")
    require_that_only_its_item_fails(broken, folder / str(number), runs[number].result())


def test_every_item_has_one() -> None:
    items = {item.id for item in ALL if item.module() not in ELSEWHERE}
    assert items == {broken.item for broken in HERE}
