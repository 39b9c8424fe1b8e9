"""What is shown while items are checked, and what only tells of them."""

import re
from argparse import Namespace
from itertools import groupby
from pathlib import Path

import pytest

from checklist.item import FailedError, Item
from checklist.items import ALL
from checklist.lab import Lab
from checklist.report import Report
from checklist.runner import run
from checklist.terminal import bare
from checklist.words import MARKS
from reports import REPORTS, failures
from terminals import on_a_terminal, without_terminal

STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
MODULES = [name for name, _ in groupby(ALL, lambda item: item.module())]


class Quotes(Item):
    """Quotes.

    It quotes what a container wrote.

    Why: logs hold anything. https://example.com

    Fix: nothing.
    """

    def check(self, lab: Lab) -> str:
        raise FailedError("red \x1b[31m, cleared \x1b[2J\x07\n\x9b2J and \udcff half a sign")


@pytest.fixture(params=REPORTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def show(name: str, columns: int) -> str:
    """What remains of it on a terminal, without colours."""
    code, shown = on_a_terminal("-m", "shown", name, columns=columns)
    assert code == 0, shown
    return STEERING.sub("", shown)


def assert_it_ends_with_what_to_do(report: Report, words: str) -> None:
    end = " ".join(words.rpartition(report.sentence[:20])[2].split())
    for item in report.items:
        told = f"{item.id}: {bare(item.fix)} {item.link}"
        assert (told in end) == (item.verdict == "failed"), item.id
    assert end.endswith("The report: the-folder/report.html") == bool(report.items)


def test_without_a_terminal_each_item_has_a_line(name: str) -> None:
    report = REPORTS[name]()
    code, words = without_terminal("-m", "shown", name)
    assert code == 0, words
    for item, line in zip(report.items, words.splitlines(), strict=False):
        assert line.split() == [
            *MARKS[item.verdict].split(),
            *(item.id, f"{item.seconds:.1f}", "s"),
            *item.words.split(),
        ]
    assert "\x1b" not in words
    assert report.sentence in " ".join(words.split())
    assert_it_ends_with_what_to_do(report, words)


@pytest.mark.parametrize("columns", [60, 200])
def test_on_a_terminal_a_table_grows(columns: int) -> None:
    report, words = failures(), show("failures", columns)
    at = 0
    for number, (group, items) in enumerate(groupby(report.items, lambda item: item.group)):
        at = words.index(f"\n{group}\n", at)
        for item in items:
            at = words.index(MARKS[item.verdict], at)
            title = " ".join(bare(item.title).split()[:2])
            assert title in words[at:]
        assert number < len(report.items)
    for number in range(1, len(report.items) + 1):
        assert f"{number} of {len(report.items)} " in words
    assert_it_ends_with_what_to_do(report, words)


def test_a_line_is_no_longer_than_the_terminal_is_wide() -> None:
    code, shown = on_a_terminal("-m", "shown", "failures", columns=60)
    assert code == 0
    lines = [STEERING.sub("", line) for line in re.split(r"[\r\n]+", shown)]
    assert max(map(len, lines)) <= 60


def test_what_was_seen_steers_no_terminal(tmp_path: Path) -> None:
    lab = Lab(Namespace(quick=True, capacity=1, image="", url=""), tmp_path)
    (found,) = run([Quotes], lab, lambda item: None)
    assert found.words == "red [31m, cleared [2J 2J and half a sign"


def test_list_has_every_item_below_its_heading() -> None:
    code, words = without_terminal("-m", "checklist", "--list")
    assert code == 0
    told = [line.split(maxsplit=1) for line in words.splitlines() if line.startswith("  ")]
    assert told == [[item.id, bare(item.texts.title)] for item in ALL]
    headings = [line for line in words.splitlines() if not line.startswith("  ")]
    groups = [(item.group(), item.module()) for item in ALL]
    assert headings == [f"{title} ({name})" for (title, name), _ in groupby(groups)]


@pytest.mark.parametrize("module", MODULES)
def test_all_that_is_known_of_an_item_is_told(module: str) -> None:
    code, words = without_terminal("-m", "checklist", "--explain", module, columns=60)
    assert code == 0
    told = " ".join(words.split())
    for item in ALL:
        heading, asked_for = f"{bare(item.texts.title)} ({item.id})", item.module() == module
        assert (heading in told) == asked_for
        assert not asked_for or all(bare(text) in told for text in item.texts)
    assert all(len(line) <= 60 or line.startswith("https://") for line in words.splitlines())


def test_an_item_that_is_not_there_is_refused() -> None:
    code, words = without_terminal("-m", "checklist", "--explain", "nothing")
    assert code == 2
    assert words.splitlines()[-1].endswith("nothing: no such item, see --list")
