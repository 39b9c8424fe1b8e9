"""Reads the container's metrics and health repeatedly, on threads of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from emulator.container import POLL_SECONDS

PAUSE_SECONDS = 0.5
# On a new connection each time, because orchestrators may have none open.
get = partial(httpx.get, timeout=POLL_SECONDS, verify=False)


class Scrape(NamedTuple):
    """The metrics at that moment, in seconds of time.monotonic()."""

    moment: float
    samples: list[Sample]

    def total(self, *names: str) -> float | None:
        """The sum of these metrics over all labels; None if one of them has no sample."""
        found = [each for each in self.samples if each.name in names]
        known = {each.name for each in found} == set(names)
        return sum(each.value for each in found) if known else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """The values of the samples with this label."""
        return {each.labels[label]: each.value for each in self.samples if each.name == name}


class Miss(NamedTuple):
    """A poll of /health that an orchestrator would count as failed."""

    moment: float
    words: str


class Scraper:
    """What `url` has answered so far; `polls` has the moments of the polls of /health."""

    def __init__(self, url: str) -> None:
        self.scrapes: list[Scrape] = []
        self.polls: list[float] = []
        self.misses: list[Miss] = []
        self._healthy = 0.0
        self._url = url.rstrip("/")

    @property
    def last(self) -> Scrape:
        return self.scrapes[-1]

    @property
    def complaint(self) -> str:
        """The last answer of /health that was not ok."""
        return self.misses[-1].words if self.misses else "no answer"

    def between(self, begin: float, end: float) -> list[Scrape]:
        return [scrape for scrape in self.scrapes if begin <= scrape.moment <= end]

    def healthy_since(self, moment: float) -> bool:
        """Whether /health was ok, and the metrics were read, after that moment."""
        return self._healthy > moment and self.last.moment > moment

    def scrape(self) -> None:
        moment = time.monotonic()
        text = get(f"{self._url}/metrics").raise_for_status().text
        samples = [each for found in text_string_to_metric_families(text) for each in found.samples]
        self.scrapes.append(Scrape(moment, samples))

    def poll(self) -> None:
        self.polls.append(moment := time.monotonic())
        try:
            answer = get(f"{self._url}/health")
            words = f"{answer.status_code} {answer.text[:200]}"
            if time.monotonic() > moment + POLL_SECONDS:
                raise httpx.ReadTimeout("the answer came too slowly")
            if answer.status_code == 200 and answer.json() == {"status": "ok"}:
                self._healthy = moment
                return
        except httpx.TimeoutException:
            words = f"no answer within {POLL_SECONDS} s"
        except (httpx.HTTPError, ValueError) as error:
            words = repr(error)
        self.misses.append(Miss(moment, words))


@contextmanager
def watch_ops(url: str) -> Iterator[Scraper]:
    """Raises httpx.HTTPError or ValueError if there are no metrics."""
    scraper = Scraper(url)
    scraper.scrape()
    with repeating("metrics", scraper.scrape), repeating("health", scraper.poll):
        yield scraper


@contextmanager
def repeating(name: str, call: Callable[[], None], pause: float = PAUSE_SECONDS) -> Iterator[None]:
    """Call it repeatedly on a daemon thread, which nobody joins because a call may hang."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(pause):
            with suppress(httpx.HTTPError, ValueError):  # a failed scrape is left out
                call()

    threading.Thread(target=repeat, name=name, daemon=True).start()
    try:
        yield
    finally:
        done.set()
