"""The memory of the container, as it is watched during the whole load test.

Moments are seconds of time.monotonic().
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .report import Source
from .scraper import Scrape, Scraper

RESIDENT = ("process_resident_memory_bytes", "byoc_model_process_resident_memory_bytes")


class Sizes(NamedTuple):
    """In bytes; None for what is not known. `reserved` is what the driver keeps for itself."""

    total: int | None
    reserved: int | None = None


class MemoryWatch(ABC):
    """`device` says whose memory it is, `note` what is not known of it."""

    source: Source
    device: str
    sizes: Sizes
    note = ""

    @abstractmethod
    def used(self, begin: float, end: float) -> Sequence[tuple[float, int]]:
        """The bytes in use at each moment."""

    def trouble(self, begin: float, end: float) -> str:
        """Why what was measured meanwhile says nothing; empty if it does."""
        return ""


class Scraped(MemoryWatch):
    """What the container's metrics tell: the sum of some of them."""

    def __init__(self, scraper: Scraper, source: Source, device: str, sizes: Sizes) -> None:
        self.source = source
        self.device = device
        self.sizes = sizes
        self._scraper = scraper
        self._names = RESIDENT if source == "resident" else (source,)

    def used(self, begin: float, end: float) -> Sequence[tuple[float, int]]:
        scrapes = self._scraper.between(begin, end)
        return [(each.moment, size) for each in scrapes if (size := self._sum(each)) is not None]

    def _sum(self, scrape: Scrape) -> int | None:
        """None when one is missing, as those of a process do that is being replaced."""
        sizes = [scrape.total(name) for name in self._names]
        return None if None in sizes else int(sum(filter(None, sizes)))


def resident(scraper: Scraper, here: bool) -> MemoryWatch:
    """The memory of both processes; `here` says that they run on this machine."""
    total = machine_bytes() if here else None
    watch = Scraped(scraper, "resident", "no GPU: memory of the processes", Sizes(total))
    watch.note = "There is no GPU: memory is the resident memory of both processes in its place."
    return watch


def machine_bytes() -> int:
    line = Path("/proc/meminfo").read_text().splitlines()[0]
    return 1024 * int(line.split()[1])
