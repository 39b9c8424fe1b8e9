"""Progress: a live table, or a line for each level if there is no terminal."""

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from .report import Report
from .search import Plan
from .words import HEADERS, cells

NARROW = ("Sessions", "Verdict", "On time", "p50", "p95", "Memory each")
NARROW_COLUMNS = 120
WIDTHS = [max(len(header), 22 if header == "Verdict" else 7) for header in HEADERS]
STYLES = {"met": "green", "not met": "red", "invalid": "yellow"}


class Progress:
    """Shows `report` as it grows, and its conclusion at the end."""

    def __init__(self, report: Report, quiet: bool) -> None:
        self._report = report
        self._now, self._since = "warming up", time.monotonic()
        self._console = Console(
            emoji=False, highlight=False, markup=False, soft_wrap=True, quiet=quiet
        )
        self._live = Live(console=self._console, get_renderable=self._table)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.quiet:
            self._live.start()
        else:
            self._print(HEADERS)
        return self

    def __exit__(self, *_: object) -> None:
        self._now = ""
        self._live.stop()
        for words in (self._report.sentence, *self._report.advice, *self._report.notes):
            self._console.print(words, end="\n" if words else "")

    def begin(self, plan: Plan) -> None:
        self._now = f"{'confirming ' if plan.confirmation else ''}{plan.sessions} at once"
        self._since = time.monotonic()

    def end(self) -> None:
        """A level has ended: the last one in the report."""
        if not self._console.is_terminal:
            level = self._report.levels[-1]
            self._print([*cells(level), *level.reasons[:1]])

    def _print(self, row: Sequence[str]) -> None:
        """In columns; text after the last column is not cut."""
        wide = [cell.ljust(width) for cell, width in zip(row, [*WIDTHS, 0], strict=False)]
        self._console.print("  ".join(wide).rstrip())

    def _table(self) -> Group:
        """As many columns as fit."""
        wide = self._console.width >= NARROW_COLUMNS
        shown = [n for n, header in enumerate(HEADERS) if wide or header in NARROW]
        table = Table(*(HEADERS[n] for n in shown), box=None, pad_edge=False)
        for level in self._report.levels:
            row = cells(level)
            table.add_row(*(row[n] for n in shown), style=STYLES[level.verdict])
        reasons = [reason for level in self._report.levels[-1:] for reason in level.reasons[:1]]
        now = [f"{self._now}, for {time.monotonic() - self._since:.0f} s"] if self._now else []
        return Group(table, *reasons, *now)
