"""What the container tells on its ops port, which threads of their own ask again and again.

Moments are seconds of time.monotonic().
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_SECONDS = 0.5
HEALTH_SECONDS = 0.5
ANSWER_SECONDS = 3  # how long an orchestrator waits for one answer of /health

type Labels = tuple[tuple[str, str], ...]


class Scrape(NamedTuple):
    """What /metrics told; `values` maps a sample's name to its values by labels."""

    moment: float
    values: dict[str, dict[Labels, float]]

    def total(self, name: str) -> float | None:
        """Over all labels; None when there is no sample."""
        found = self.values.get(name)
        return sum(found.values()) if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """The values of the samples with this label."""
        found = self.values.get(name, {})
        return {dict(labels)[label]: value for labels, value in found.items()}


class Miss(NamedTuple):
    """An answer of /health that an orchestrator would not have taken."""

    moment: float
    words: str


class Scraper:
    """Watches the ops port at `url` from `with` on to its end.

    `scrapes` and `misses` grow meanwhile; `polls` has the moments at which /health was asked for.
    """

    def __init__(self, url: str) -> None:
        self.scrapes: list[Scrape] = []
        self.polls: list[float] = []
        self.misses: list[Miss] = []
        self._healthy = 0.0
        self._url = url
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=each, daemon=True)
            for each in ((SCRAPE_SECONDS, self._scrape), (HEALTH_SECONDS, self._poll))
        ]

    def __enter__(self) -> Self:
        """Raises httpx.HTTPError or ValueError when there are no metrics."""
        with self._client() as http:
            self._scrape(http)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    @property
    def last(self) -> Scrape:
        return self.scrapes[-1]

    def healthy_since(self, moment: float) -> bool:
        """Whether /health was ok, and the metrics told, after that moment."""
        return self._healthy > moment and self.last.moment > moment

    @property
    def complaint(self) -> str:
        """What its health or its metrics answered last that would not do."""
        return self.misses[-1].words if self.misses else "no answer"

    def between(self, begin: float, end: float) -> list[Scrape]:
        return [scrape for scrape in self.scrapes if begin <= scrape.moment <= end]

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=ANSWER_SECONDS, verify=False)

    def _repeat(self, pause: float, ask: Callable[[httpx.Client], None]) -> None:
        with self._client() as http:
            while not self._done.wait(pause):
                with suppress(httpx.HTTPError, ValueError):  # a scrape that failed is missing
                    ask(http)

    def _scrape(self, http: httpx.Client) -> None:
        moment = time.monotonic()
        answer = http.get("/metrics").raise_for_status()
        values: dict[str, dict[Labels, float]] = defaultdict(dict)
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                values[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        self.scrapes.append(Scrape(moment, dict(values)))

    def _poll(self, http: httpx.Client) -> None:
        """On a connection of its own each time, because orchestrators may have none open."""
        self.polls.append(moment := time.monotonic())
        try:
            answer = http.get("/health", headers={"Connection": "close"})
            if answer.status_code == 200 and answer.json() == {"status": "ok"}:
                self._healthy = moment
                return
            words = f"{answer.status_code} {answer.text[:200]}"
        except httpx.TimeoutException:
            words = f"no answer within {ANSWER_SECONDS} s"
        except (httpx.HTTPError, ValueError) as error:
            words = repr(error)
        self.misses.append(Miss(moment, words))
