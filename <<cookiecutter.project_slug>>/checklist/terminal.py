"""Progress: a table that grows, or a line for each item if there is no terminal."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .item import Item
from .report import Finding, Report
from .words import MARKS

CONSOLE = Console(highlight=False)
WIDTH = max(map(len, MARKS.values()))
STYLES, OTHER = {"passed": "green", "failed": "red", "skipped": "dim"}, "yellow"


class Progress:
    """Shows `report` as it grows; at the end what to fix, and where the report's files are."""

    def __init__(self, report: Report, number: int, folder: Path) -> None:
        self._report, self._number, self._folder = report, number, folder
        self._now, self._since, self._group = "", time.monotonic(), ""
        self._live = Live(console=CONSOLE, get_renderable=self._running, transient=True)

    def __enter__(self) -> Self:
        if CONSOLE.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        say(f"\n{self._report.sentence}", "bold")
        for item in self._report.items:
            if item.verdict == "failed":
                say(f"{item.id}: {bare(item.fix)}")
                say(f"  {item.link}", whole=True)
        if self._report.items:
            say(f"The report: {self._folder / 'report.html'}", whole=True)

    def begin(self, title: str) -> None:
        """The check of the item with this title begins."""
        self._now, self._since = bare(title), time.monotonic()
        self._live.refresh()

    def end(self, found: Finding) -> None:
        """The check has ended."""
        self._now = ""
        mark, took = MARKS[found.verdict], f"{found.seconds:.1f} s"
        if not CONSOLE.is_terminal:
            say(f"{mark:{WIDTH}}  {found.id:24} {took:>8}  {found.words}", whole=True)
            return
        if self._group != found.group:
            self._group = found.group
            say(f"\n{found.group}", "bold")
        words = Text.assemble(f"{bare(found.title)}  ", (f"{found.id}\n{found.words}", "dim"))
        CONSOLE.print(row(Text(mark, STYLES.get(found.verdict, OTHER)), words, took))

    def _running(self) -> Table:
        number = f"{len(self._report.items) + 1} of {self._number}"
        took = f"{time.monotonic() - self._since:.0f} s"
        return row(Text(number), Text(self._now), took) if self._now else Table.grid()


def row(mark: Text, words: Text, took: str) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=WIDTH)
    grid.add_column(ratio=1)
    grid.add_column(width=8, justify="right")
    grid.add_row(mark, words, took)
    return grid


def say(words: str, style: str = "", *, whole: bool = False) -> None:
    """Print the words, wrapped at the terminal's width unless `whole`."""
    CONSOLE.print(Text(words, style), soft_wrap=whole)


def bare(text: str) -> str:
    return text.replace("`", "")


def listing(items: Iterable[type[Item]]) -> None:
    group = ""
    for item in items:
        if item.group() != group:
            group = item.group()
            say(f"{group} ({item.module()})", "bold")
        say(f"  {item.id:24} {bare(item.texts.title)}", whole=True)


def explain(items: Iterable[type[Item]]) -> None:
    for item in items:
        texts = item.texts
        say(f"{bare(texts.title)} ({item.id})", "bold")
        say(f"{bare(texts.proves)}\n\nWhy it matters: {bare(texts.why)}")
        say(texts.link, whole=True)
        if item.needs:
            say(f"\nWhat it needs: {', '.join(need.id for need in item.needs)}")
        say(f"\nWhat to do if it fails: {bare(texts.fix)}\n")
