"""Broken containers, each made from this repository by a small change, and put to the checklist."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from checklist.items import ALL
from checklist.report import Report, Verdict
from emulator.container import DEADLINE_SECONDS
from harness import ROOT

SUITE = Path(__file__).parent
AT_ONCE = 3  # most of their time is spent waiting
NEEDED = ("checklist", "emulator", "load_test", "reporting", "src", "tests")


class Change(NamedTuple):
    """`old`, which stands once in `file`, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Broken:
    """`item` fails and no other. `pipeline` is where the change can be made, if not everywhere."""

    item: str
    what: str
    changes: Sequence[Change]
    pipeline: str = ""
    options: Sequence[str] = ()
    needs: str = ""  # a program, without which the item is skipped

    @property
    def name(self) -> str:
        return f"{self.item}: {self.what}"

    def put_into(self, folder: Path) -> None:
        """Copy what the checklist needs of this repository, and make the changes."""
        for name in NEEDED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for file, old, new in self.changes:
            text = (folder / file).read_text("utf-8")
            assert text.count(old) == 1, f"{self.name}: {file} has {text.count(old)} times {old!r}"
            (folder / file).write_text(text.replace(old, new), "utf-8")


def run_checklist(
    folder: Path, *options: object, root: Path = ROOT, **environment: str
) -> tuple[int, str]:
    """Its exit code and its words, as its owner runs it; the report is put into the folder."""
    command = [sys.executable, "-m", "checklist", "--quick", f"--report={folder}"]
    done = subprocess.run(
        [*command, *map(str, options)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{SUITE}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def read_report(folder: Path) -> Report:
    return Report.model_validate_json((folder / "report.json").read_text("utf-8"))


def findings(folder: Path) -> dict[str, Verdict]:
    """By item."""
    return {finding.id: finding.verdict for finding in read_report(folder).items}


def dependents(item: str) -> list[str]:
    """All items that need it, or one that does."""
    found = {item}
    while more := {each.id for each in ALL if found & {need.id for need in each.needs}} - found:
        found |= more
    return sorted(found - {item})


def expected(item: str) -> dict[str, Verdict]:
    """Of the item and its dependents, if it is the one that fails."""
    return {item: "failed", **dict.fromkeys(dependents(item), "blocked")}


def examine(broken: Broken, folder: Path, *options: str) -> tuple[int, str]:
    """The checklist's exit code and words for its own item, and for all that depend on it."""
    broken.put_into(folder / "repository")
    only = [f"--only={item}" for item in (broken.item, *dependents(broken.item))]
    return run_checklist(folder, *only, *broken.options, *options, root=folder / "repository")


type Result = tuple[int, str]


@contextmanager
def examined(
    catalogue: Sequence[Broken],
    folder: Path,
    session: pytest.Session,
    call: Callable[[Broken, Path], Result] = examine,
) -> Iterator[dict[int, Future[Result]]]:
    """Check the containers of the selected tests, each in a folder named by its number."""
    params = [item.callspec.params for item in session.items if hasattr(item, "callspec")]
    numbers: set[Any] = {each["number"] for each in params if "number" in each}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            number: pool.submit(call, catalogue[number], folder / str(number)) for number in numbers
        }


def require_that_only_its_item_fails(broken: Broken, folder: Path, result: Result) -> None:
    """And that what needs it is blocked, and all else passed or was skipped."""
    code, words = result
    assert code == 1, words
    failing = expected(broken.item)
    found = findings(folder)
    assert {item: found[item] for item in failing} == failing, words
    assert {found[item] for item in found.keys() - failing} <= {"passed", "skipped"}, words
