"""Watches the memory of the container during the whole load test."""

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
    """`device` names whose memory it is, `note` says what is not known about it.

    `sizes` are all its bytes, and the bytes that the driver reserves; None if not known. `used`
    returns the bytes in use between two moments, `trouble` why these are invalid, or "". `idle_at`
    is when the memory of the idle container was read, with which they are compared.
    """

    source: Source
    device: str
    sizes: tuple[int | None, int | None]
    note: str
    used: Callable[[float, float], Samples]
    trouble: Callable[[float, float], str] = lambda begin, end: ""
    idle_at: float = math.inf


def scraped(scraper: Scraper, names: tuple[str, ...], begin: float, end: float) -> Samples:
    """The sum of these metrics, left out while one is missing because a process is replaced."""
    told = [(scrape.moment, scrape.total(*names)) for scrape in scraper.between(begin, end)]
    return [(moment, int(size)) for moment, size in told if size is not None]


def resident(scraper: Scraper, here: bool) -> MemoryWatch:
    """The memory of both processes; `here` says whether they run on this machine."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if here else None
    note = "There is no GPU: memory is the resident memory of both processes."
    device = "no GPU: memory of the processes"
    return MemoryWatch("resident", device, (total, None), note, partial(scraped, scraper, RESIDENT))
