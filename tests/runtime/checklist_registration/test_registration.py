"""The items about registration, checked at an orchestrator as an operator would."""

import random
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from catalogue import CATALOGUE
from checklist.items.registration import ITEMS
from checklist.report import Verdict
from told import run_told_orchestrator

from breaking import Broken, examine, expected, findings, run_checklist
from harness import ANSWERS

AT_ONCE = 3  # most of their time is spent waiting
SECRET = "orch-secret"
ONLY = "--only=registration"
PASSED: dict[str, Verdict] = dict.fromkeys((item.id for item in ITEMS), "passed")
HERE = [each for each in CATALOGUE if each.pipeline in ("", ANSWERS["pipeline"])]
# Below those that the kernel gives to whoever asks for any.
PORTS = range(20_000, 30_000, 2)

type Run = tuple[Path, Future[tuple[int, str]]]


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


def examine_there(broken: Broken, folder: Path) -> tuple[int, str]:
    """At an orchestrator of its own."""
    folder.mkdir()
    with orchestrator(folder) as way:
        return examine(broken, folder, *way)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Run]]:
    folder = tmp_path_factory.mktemp("broken")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield [
            (folder / str(number), pool.submit(examine_there, broken, folder / str(number)))
            for number, broken in enumerate(HERE)
        ]


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
def test_exactly_its_item_fails(number: int, runs: list[Run]) -> None:
    folder, run = runs[number]
    code, words = run.result()
    assert code == 1, words
    failing = expected(HERE[number].item)
    found = findings(folder)
    assert {item: found[item] for item in failing} == failing, words
    assert {found[item] for item in found.keys() - failing} <= {"passed", "skipped"}, words


def test_every_item_has_one() -> None:
    assert set(PASSED) == {broken.item for broken in HERE}
