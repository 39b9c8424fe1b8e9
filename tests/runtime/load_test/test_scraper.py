"""What the load test reads from the ops port of a real container, and what it calls a miss."""

import math
import signal

import httpx
import pytest

from emulator.container import Container, StartContainer, eventually
from load_test.scraper import Scraper
from my_model.errors import ERROR_TYPES


def scrape(server: Container) -> Scraper:
    return Scraper(str(server.ops.base_url))


def test_the_metrics_are_read_again_and_again(start_server: StartContainer) -> None:
    with start_server(BYOC_CAPACITY="3") as server, scrape(server) as scraper:
        assert scraper.last.total("byoc_capacity") == 3
        assert scraper.last.by("byoc_errors_total", "type").keys() == set(ERROR_TYPES)
        assert scraper.last.total("byoc_unheard_of") is None
        assert scraper.last.by("byoc_unheard_of", "type") == {}
        eventually(lambda: len(scraper.scrapes) > 3 and len(scraper.polls) > 3, "more")
        first, second, third, *_ = (each.moment for each in scraper.scrapes)
        assert [each.moment for each in scraper.between(first, second)] == [first, second]
        assert third > second > first
        assert scraper.misses == []


def test_a_container_that_is_not_ready_is_missed(start_server: StartContainer) -> None:
    with (
        start_server(ready=False, CHAOS_LOAD="wait") as server,
        scrape(server) as scraper,
    ):
        eventually(lambda: scraper.misses, "a miss")
        assert scraper.misses[0].words.startswith("503 ")
        assert '"loading"' in scraper.misses[0].words


def test_a_container_that_is_gone_is_missed(start_server: StartContainer) -> None:
    with start_server() as server, scrape(server) as scraper:
        server.process.kill()
        miss = eventually(lambda: scraper.misses, "a miss")[0]
        assert "Connection refused" in miss.words or "disconnected" in miss.words
        assert miss.moment in scraper.polls
        scrapes = len(scraper.between(miss.moment, math.inf))
        polls = len(scraper.polls)
        eventually(lambda: len(scraper.polls) > polls + 2, "polls")
        assert scrapes == len(scraper.between(miss.moment, math.inf)) == 0


def test_a_container_that_does_not_answer_in_time_is_missed(start_server: StartContainer) -> None:
    with start_server() as server, scrape(server) as scraper:
        server.process.send_signal(signal.SIGSTOP)
        eventually(lambda: scraper.misses, "a miss")
        assert scraper.misses[0].words == "no answer within 3 s"
        server.process.send_signal(signal.SIGCONT)
        polls, misses = len(scraper.polls), len(scraper.misses)
        eventually(lambda: len(scraper.polls) > polls + 2, "it answers again")
        assert len(scraper.misses) <= misses + 1


def test_without_metrics_it_does_not_begin(start_server: StartContainer) -> None:
    """At the wrong port, or where nobody listens."""
    with start_server() as server:
        with pytest.raises(httpx.HTTPError), Scraper(str(server.jobs.base_url)):
            pass
        assert server.stop() == 0
        with pytest.raises(httpx.HTTPError), scrape(server):
            pass
