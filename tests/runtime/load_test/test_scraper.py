"""What the load test reads from the ops port of a real container, and what it calls a miss."""

import math
import signal
import threading
import time
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from emulator.container import Container, StartContainer, eventually
from load_test.scraper import Scraper, watch_ops
from my_model.runtime.errors import ERROR_TYPES


def scrape(server: Container) -> AbstractContextManager[Scraper]:
    return watch_ops(str(server.ops.base_url))


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


class Trickling(BaseHTTPRequestHandler):
    """Each byte of /health in time, all of them not."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        for byte in b'{"status": "ok"}' if self.path == "/health" else b"":
            time.sleep(0.25)
            with suppress(OSError):
                self.wfile.write(bytes([byte]))


def test_a_container_that_trickles_is_missed() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Trickling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with watch_ops(f"http://127.0.0.1:{server.server_port}") as scraper:
            eventually(lambda: scraper.misses, "a miss")
            assert scraper.misses[0].words == "no answer within 3 s"
        server.shutdown()


def test_without_metrics_it_does_not_begin(start_server: StartContainer) -> None:
    """At the wrong port, or where nobody listens."""
    with start_server() as server:
        with pytest.raises(httpx.HTTPError), watch_ops(str(server.jobs.base_url)):
            pass
        assert server.stop() == 0
        with pytest.raises(httpx.HTTPError), scrape(server):
            pass
