"""The memory of the container, as it is watched during the whole load test."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .report import Source
from .scraper import Scraper

RESIDENT = ("process_resident_memory_bytes", "byoc_model_process_resident_memory_bytes")

type Samples = list[tuple[float, int]]


@dataclass
class MemoryWatch:
    """`device` says whose memory it is, `note` what is not known of it.

    `sizes` are its bytes in all and those that the driver keeps for itself; None if not known.
    Between two moments, `used` are the bytes in use, `trouble` why they say nothing, if they don't.
    `idle_at` is when level 0 was read, with which they are compared.
    """

    source: Source
    device: str
    sizes: tuple[int | None, int | None]
    note: str
    used: Callable[[float, float], Samples]
    trouble: Callable[[float, float], str] = lambda begin, end: ""
    idle_at: float = math.inf


def scraped(scraper: Scraper, names: tuple[str, ...], begin: float, end: float) -> Samples:
    """The sum of these metrics, unless one is missing, as while a process is being replaced."""
    told = [(scrape.moment, scrape.total(*names)) for scrape in scraper.between(begin, end)]
    return [(moment, int(size)) for moment, size in told if size is not None]


def resident(scraper: Scraper, here: bool) -> MemoryWatch:
    """The memory of both processes; `here` says that they run on this machine."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if here else None
    note = "There is no GPU: memory is the resident memory of both processes in its place."
    device = "no GPU: memory of the processes"
    return MemoryWatch("resident", device, (total, None), note, partial(scraped, scraper, RESIDENT))
