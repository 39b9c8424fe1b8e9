"""Watches the memory of the processes, because nothing here runs on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

from .memory import MemoryWatch, resident
from .scraper import Scraper

GPU = False


@contextmanager
def watch_memory(scraper: Scraper, root: int | None, here: bool) -> Iterator[MemoryWatch]:
    """`root` is the process id of the container, `here` says whether it runs on this machine."""
    yield resident(scraper, here)
