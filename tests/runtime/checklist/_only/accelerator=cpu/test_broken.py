"""The checklist can fail: each broken container fails at its own item, and at no other."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from breaking import dependents, examine, expected, findings
from catalogue import HERE
from checklist.items import ALL

AT_ONCE = 3  # most of their time is spent waiting
# They look at an image, or at an orchestrator.
ELSEWHERE = ("image", "registration")

type Runs = dict[int, Future[tuple[int, str]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def runs(folder: Path, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Of those whose tests were chosen."""
    chosen = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    numbers = {spec.params["number"] for spec in chosen if "number" in spec.params}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            number: pool.submit(examine, HERE[number], folder / str(number)) for number in numbers
        }


@pytest.mark.parametrize("number", range(len(HERE)), ids=[each.name for each in HERE])
def test_exactly_its_item_fails(number: int, folder: Path, runs: Runs) -> None:
    broken = HERE[number]
    if broken.needs and not shutil.which(broken.needs):
        pytest.skip(f"{broken.needs} is not on the path")
    code, words = runs[number].result()
    assert code == 1, words
    found = findings(folder / str(number))
    verdicts = {item: found[item] for item in (broken.item, *dependents(broken.item))}
    assert verdicts == expected(broken.item), words
    others = {verdict for item, verdict in found.items() if item not in verdicts}
    assert others <= {"passed", "skipped"}, words


def test_every_item_has_one() -> None:
    items = {item.id for item in ALL if item.module() not in ELSEWHERE}
    assert items == {broken.item for broken in HERE}
