"""What is shown meanwhile: a live table, or a line for each level where there is no terminal."""

import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .report import Level, Report
from .search import Plan
from .words import HEADERS, cells

STYLES = {"met": "green", "not met": "red", "invalid": "yellow"}


class Progress:
    """Shows `report` as it grows, and in the end what it says."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._console = Console()
        self._plan: Plan | None = None
        self._since = time.monotonic()
        self._live = Live(console=self._console, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._say("  ".join(HEADERS))
        return self

    def __exit__(self, *_: object) -> None:
        self._plan = None
        if self._console.is_terminal:
            self._live.stop()
        for words in (self._report.sentence, *self._report.advice, *self._report.notes):
            self._say(words)

    def begin(self, plan: Plan) -> None:
        self._plan, self._since = plan, time.monotonic()

    def end(self) -> None:
        """The level has ended, and is the report's last one."""
        self._plan = None
        if not self._console.is_terminal:
            level = self._report.levels[-1]
            self._say("  ".join([*cells(level), *level.reasons[:1]]))

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        table = Table(*HEADERS, box=None, pad_edge=False)
        for level in self._report.levels:
            table.add_row(*cells(level), style=STYLES[level.verdict])
        reasons = [self._reason(level) for level in self._report.levels[-1:]]
        return Group(table, *reasons, self._now())

    def _reason(self, level: Level) -> Text:
        return Text("; ".join(level.reasons[:1]), style="dim")

    def _now(self) -> Text:
        if not self._plan:
            return Text("warming up" if not self._report.levels else "")
        kind = "confirming " if self._plan.confirmation else ""
        seconds = time.monotonic() - self._since
        return Text(f"{kind}{self._plan.sessions} at once, for {seconds:.0f} s", style="bold")
