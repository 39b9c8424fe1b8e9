"""The items about registration, checked at an orchestrator as an operator would."""

import random
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from breaking import (
    Broken,
    Result,
    examine,
    examined,
    findings,
    require_that_only_its_item_fails,
    run_checklist,
)
from catalogue import CATALOGUE
from checklist.items import ALL
from checklist.report import Verdict
from harness import ANSWERS
from told import run_told_orchestrator

SECRET = "orch-secret"
ONLY = "--only=registration"
ITEMS = [item.id for item in ALL if item.module() == "registration"]
PASSED: dict[str, Verdict] = dict.fromkeys(ITEMS, "passed")
# What is the same for both pipelines is broken in the one whose sessions are short.
SHORT = "batch"
HERE = [each for each in CATALOGUE if (each.pipeline or SHORT) == ANSWERS["pipeline"]]
# Below those that the kernel gives to whoever asks for any.
PORTS = range(20_000, 30_000, 2)


def two_ports() -> int:
    """The first of two that nobody has."""
    for port in random.sample(PORTS, 100):
        with suppress(OSError), ExitStack() as stack:
            for each in (port, port + 1):
                stack.enter_context(socket.create_server(("127.0.0.1", each)))
            return port
    raise AssertionError("no two ports are free")


@contextmanager
def orchestrator(folder: Path) -> Iterator[list[str]]:
    """The options that lead to one which knows of the container, or will."""
    secret, port = folder / "secret", two_ports()
    secret.write_text(f"{SECRET}\n")
    with run_told_orchestrator(port) as told:
        yield [
            f"--orchestrator={told.url}",
            f"--orchestrator-secret={secret}",
            f"--container-url=http://127.0.0.1:{port}",
        ]


def verdicts(folder: Path) -> dict[str, Verdict]:
    """Of the items about registration."""
    return {item: verdict for item, verdict in findings(folder).items() if item in PASSED}


def examine_there(broken: Broken, folder: Path) -> Result:
    """At an orchestrator of its own."""
    folder.mkdir()
    with orchestrator(folder) as way:
        return examine(broken, folder, *way)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def runs(folder: Path, request: pytest.FixtureRequest) -> Iterator[dict[int, Future[Result]]]:
    with examined(HERE, folder, request.session, examine_there) as runs:
        yield runs


def test_a_container_that_an_orchestrator_comes_to_know(tmp_path: Path) -> None:
    with orchestrator(tmp_path) as way:
        code, words = run_checklist(tmp_path, ONLY, *way)
    print(words)
    assert (code, verdicts(tmp_path)) == (0, PASSED), words
    reports = [file.read_text("utf-8") for file in tmp_path.glob("report.*")]
    assert SECRET not in "".join([words, *reports])


def test_without_an_orchestrator_they_are_skipped(tmp_path: Path) -> None:
    code, words = run_checklist(tmp_path, ONLY)
    assert code == 0, words
    assert set(verdicts(tmp_path).values()) == {"skipped"}
    assert "no orchestrator was named: see --orchestrator" in words


def test_an_orchestrator_that_is_not_there(tmp_path: Path) -> None:
    code, words = run_checklist(tmp_path, "--orchestrator=https://127.0.0.1:9")
    assert code == 2
    assert words.startswith("nothing was tested: ")


@pytest.mark.parametrize("number", range(len(HERE)), ids=[each.name for each in HERE])
def test_exactly_its_item_fails(number: int, folder: Path, runs: dict[int, Future[Result]]) -> None:
    require_that_only_its_item_fails(HERE[number], folder / str(number), runs[number].result())


def test_every_item_has_one() -> None:
    assert set(PASSED) == {broken.item for broken in CATALOGUE}
