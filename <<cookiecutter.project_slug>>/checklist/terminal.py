"""What is shown meanwhile: a live table, or a line for each item where there is no terminal."""

from collections.abc import Iterable, Sequence
from typing import Self

from .item import Item
from .report import Report


class Progress:
    """Shows `report` as it grows."""

    def __init__(self, report: Report, items: Sequence[type[Item]]) -> None:
        self._report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        print(self._report.outcome)

    def begin(self, item: type[Item]) -> None:
        """This one is checked now."""

    def end(self) -> None:
        """The item has ended, and is the report's last one."""
        last = self._report.items[-1]
        print(f"{last.verdict:10} {last.id:22} {last.seconds:5} {last.words}", flush=True)


def listing(items: Iterable[type[Item]]) -> None:
    for item in items:
        print(item.id, item.title)


def explain(items: Iterable[type[Item]]) -> None:
    for item in items:
        print(item.title, *item.texts(), sep="\n")
