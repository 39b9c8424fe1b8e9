"""The stand-in for an orchestrator's trickle server, by hand."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from by_hand import Publisher, waits
from emulator.container import DEADLINE_SECONDS, eventually
from emulator.trickle import TrickleServer, run_trickle_server

MARGIN_SECONDS = 30


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


# Publishing


def test_only_the_orchestrator_creates_channels(
    server: TrickleServer, url: str, client: httpx.Client
) -> None:
    assert client.post(f"{server.url}/new", headers={"Expect-Content": "a/b"}).status_code == 404
    assert "new" not in server.channels
    assert client.post(url, headers={"Expect-Content": "a/b"}).status_code == 200
    client.post(f"{url}/0", content=b"one", headers={"Content-Type": "c/d"})
    assert client.get(f"{url}/0").headers["Content-Type"] == "text/plain"


def test_bytes_are_passed_on_as_they_arrive(url: str, client: httpx.Client) -> None:
    with Publisher(f"{url}/0") as publisher:
        publisher.send(b"one")
        with client.stream("GET", f"{url}/0") as subscriber:
            chunks = subscriber.iter_raw()
            assert next(chunks) == b"one"
            publisher.send(b"two")
            assert next(chunks) == b"two"
            assert publisher.end().status == 200
            assert list(chunks) == []
    assert client.get(f"{url}/0").content == b"onetwo"


def test_a_large_segment_arrives_whole(url: str, client: httpx.Client) -> None:
    data = bytes(range(256)) * 10_000
    assert client.post(f"{url}/0", content=data).status_code == 200
    assert client.get(f"{url}/0").content == data


def test_minus_one_publishes_at_the_next_index(url: str, client: httpx.Client) -> None:
    answers = [client.post(f"{url}/-1", content=b"x") for _ in range(3)]
    assert [answer.headers["Lp-Trickle-Seq"] for answer in answers] == ["0", "1", "2"]


def test_a_preconnected_publisher_is_told_to_continue() -> None:
    with run_trickle_server(continue_seconds=0.01) as server:
        address = urlsplit(server.create("one"))
        port = address.port or 0
        with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as connection:
            head = f"POST {address.path}/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
            connection.sendall(head.encode())
            with connection.makefile("rb") as lines:
                for _ in range(3):
                    assert lines.readline() == b"HTTP/1.1 100 Continue\r\n"
                    assert lines.readline() == b"\r\n"
                connection.sendall(b"data")
                while (line := lines.readline()) in (b"HTTP/1.1 100 Continue\r\n", b"\r\n"):
                    pass
                assert line == b"HTTP/1.1 200 OK\r\n"
        assert server.segments("one") == [b"data"]


def test_a_channel_that_is_gone_ends_the_connection(
    server: TrickleServer, client: httpx.Client
) -> None:
    answer = client.post(f"{server.url}/gone/0", content=b"x")
    assert (answer.status_code, answer.headers["Connection"]) == (404, "close")


@pytest.mark.parametrize(
    "index",
    ["first", "%201", "1_0", "%D9%A1", "1.0", str(2**63)],
    ids=["word", "space", "underscore", "not ASCII", "fraction", "out of range"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_index_is_a_number(url: str, client: httpx.Client, method: str, index: str) -> None:
    assert client.request(method, f"{url}/{index}").status_code == 400


def test_an_index_may_have_a_sign(url: str, client: httpx.Client) -> None:
    assert client.post(f"{url}/+3", content=b"x").headers["Lp-Trickle-Seq"] == "3"


@pytest.mark.parametrize(("method", "index"), [("GET", -3), ("POST", -2), ("DELETE", -1)])
def test_an_index_without_meaning_drops_the_connection(
    url: str, client: httpx.Client, method: str, index: int
) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.request(method, f"{url}/{index}")
    if method == "DELETE":  # of which no server recovers
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{url}/0", content=b"x", timeout=0.5)
    else:
        assert client.get(f"{url}/next").text == "0"


def test_the_last_five_segments_are_kept(
    server: TrickleServer, url: str, client: httpx.Client, request: pytest.FixtureRequest
) -> None:
    for index in range(7):
        client.post(f"{url}/{index}", content=b"%d" % index)
    assert server.segments(request.node.name) == [b"2", b"3", b"4", b"5", b"6"]
    assert client.get(f"{url}/1").status_code == 470
    assert client.get(f"{url}/2").content == b"2"


def test_a_segment_stays_open_when_its_body_cannot_be_read(url: str, client: httpx.Client) -> None:
    with Publisher(f"{url}/0") as publisher:
        publisher.send(b"one")
        with client.stream("GET", f"{url}/0") as subscriber:
            chunks = subscriber.iter_raw()
            assert next(chunks) == b"one"
            publisher.close()
            # Of what breaks off, only this sender is still there to be told.
            broken = client.post(
                f"{url}/0", content=b"no deflate", headers={"Content-Encoding": "deflate"}
            )
            assert broken.status_code == 500
            assert client.post(f"{url}/0", content=b"two").status_code == 200
            assert list(chunks) == [b"two"]


@pytest.mark.parametrize("asked", [False, True])
def test_a_segment_that_was_left_open_ends_when_it_is_lapped(
    asked: bool,
    server: TrickleServer,
    url: str,
    client: httpx.Client,
    pool: ThreadPoolExecutor,
) -> None:
    """By a writer. A reader who asks for the new segment first replaces it without closing it."""
    with Publisher(f"{url}/0") as lost:
        lost.send(b"one")
        with client.stream("GET", f"{url}/0") as subscriber:
            chunks = subscriber.iter_raw()
            assert next(chunks) == b"one"
            for index in range(1, 5):
                client.post(f"{url}/{index}", content=b"x")
            if asked:
                advance = pool.submit(client.get, f"{url}/5")
                eventually(lambda: waits(server, url, 5), "a reader waits")
            client.post(f"{url}/5", content=b"five")
            if asked:
                assert advance.result(DEADLINE_SECONDS).content == b"five"
                assert client.delete(f"{url}/0").status_code == 400
                lost.send(b"two")
                assert next(chunks) == b"two"
                lost.end()
            assert list(chunks) == []


def test_a_preconnected_publisher_learns_of_the_end(
    server: TrickleServer, url: str, client: httpx.Client
) -> None:
    with Publisher(f"{url}/0") as publisher:
        eventually(lambda: waits(server, url, 0), "a reader waits")
        assert client.delete(url).status_code == 200
        answer = publisher.answer()
    assert answer.status == 200
    assert answer.headers["Lp-Trickle-Closed"] == "terminated"
    assert answer.headers["Connection"] == "close"


def test_an_end_amid_a_body_is_seen_at_the_next_segment(url: str, client: httpx.Client) -> None:
    with Publisher(f"{url}/0") as publisher:
        publisher.send(b"one")
        with client.stream("GET", f"{url}/0") as subscriber:
            chunks = subscriber.iter_raw()
            assert next(chunks) == b"one"
            client.delete(url)
            assert list(chunks) == []
        publisher.send(b"two")
        answer = publisher.end()
    assert (answer.status, answer.headers["Lp-Trickle-Closed"]) == (200, None)
    assert client.post(f"{url}/1", content=b"x").status_code == 404


def test_a_finished_segment_is_not_written_again(url: str, client: httpx.Client) -> None:
    for index in range(3):
        client.post(f"{url}/{index}", content=b"%d" % index)
    assert client.post(f"{url}/0", content=b"again").status_code == 200
    assert client.get(f"{url}/0").content == b"0"
    assert client.get(f"{url}/next").text == "1"


def test_gaps_are_accepted(url: str, client: httpx.Client) -> None:
    assert client.post(f"{url}/7", content=b"x").headers["Lp-Trickle-Seq"] == "7"
    skipped = client.get(f"{url}/6")
    assert (skipped.status_code, skipped.headers["Lp-Trickle-Latest"]) == (470, "8")


def test_a_subscriber_does_not_wait_for_what_is_no_longer_kept(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    waiting = pool.submit(client.get, f"{url}/0")
    eventually(lambda: waits(server, url, 0), "a reader waits")
    client.post(f"{url}/5", content=b"five")
    answer = waiting.result(DEADLINE_SECONDS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "Lp-Trickle-Closed" not in answer.headers


def test_a_reset_closes_what_was_left_open(url: str, client: httpx.Client) -> None:
    with Publisher(f"{url}/0") as lost:
        lost.send(b"one")
        with client.stream("GET", f"{url}/0") as subscriber:
            chunks = subscriber.iter_raw()
            assert next(chunks) == b"one"
            client.post(f"{url}/1", content=b"x")
            lost.send(b"two")
            assert next(chunks) == b"two"
            client.post(f"{url}/2", content=b"x", headers={"Lp-Trickle-Reset": "1"})
            assert list(chunks) == []


def test_next_tells_where_to_go_on(server: TrickleServer, url: str, client: httpx.Client) -> None:
    assert client.get(f"{url}/next").text == "0"
    client.post(f"{url}/4", content=b"x")
    answer = client.get(f"{url}/next")
    assert (answer.text, answer.headers["Lp-Trickle-Latest"]) == ("5", "5")
    assert client.get(f"{server.url}/gone/next").status_code == 404


# Subscribing


def test_minus_one_waits_for_the_next_segment(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    client.post(f"{url}/0", content=b"old")
    waiting = pool.submit(client.get, f"{url}/-1")
    eventually(lambda: waits(server, url, 1), "a reader waits")
    client.post(f"{url}/1", content=b"new")
    answer = waiting.result(DEADLINE_SECONDS)
    assert (answer.content, answer.headers["Lp-Trickle-Seq"]) == (b"new", "1")
    assert "Lp-Trickle-Latest" not in answer.headers


def test_minus_two_is_the_current_segment(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(client.get, f"{url}/-2")
    eventually(lambda: waits(server, url, 0), "a reader waits")
    for index in range(3):
        client.post(f"{url}/{index}", content=b"%d" % index)
    assert first.result(DEADLINE_SECONDS).content == b"0"
    answer = client.get(f"{url}/-2")
    assert (answer.content, answer.headers["Lp-Trickle-Seq"]) == (b"2", "2")
    assert answer.headers["Lp-Trickle-Latest"] == "3"


def test_a_segment_may_be_asked_for_in_advance(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    beyond = client.get(f"{url}/2")
    assert (beyond.status_code, beyond.headers["Lp-Trickle-Latest"]) == (470, "0")
    waiting = [pool.submit(client.get, f"{url}/{index}") for index in range(2)]
    eventually(lambda: waits(server, url, 0) and waits(server, url, 1), "a reader waits")
    for index in range(2):
        client.post(f"{url}/{index}", content=b"%d" % index)
    answers = [future.result(DEADLINE_SECONDS) for future in waiting]
    assert [answer.content for answer in answers] == [b"0", b"1"]
    assert client.get(f"{url}/3").status_code == 470


def test_a_dropped_segment_is_empty_and_not_the_end(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    waiting = pool.submit(client.get, f"{url}/0")
    eventually(lambda: waits(server, url, 0), "a reader waits")
    assert client.post(f"{url}/0").headers["Lp-Trickle-Seq"] == "0"
    answer = waiting.result(DEADLINE_SECONDS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Lp-Trickle-Latest"] == "1"
    assert "Lp-Trickle-Closed" not in answer.headers
    client.post(f"{url}/1", content=b"next")
    assert client.get(f"{url}/1").content == b"next"


# Closing


def test_delete_ends_a_channel_for_everyone(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    waiting = pool.submit(client.get, f"{url}/0")
    eventually(lambda: waits(server, url, 0), "a reader waits")
    assert [client.delete(url).status_code for _ in range(2)] == [200, 400]
    answer = waiting.result(DEADLINE_SECONDS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Lp-Trickle-Closed"] == "terminated"
    assert client.get(f"{url}/0").status_code == 404
    assert client.post(f"{url}/0", content=b"x").status_code == 404


def test_delete_ends_one_segment(
    server: TrickleServer, url: str, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    waiting = pool.submit(client.get, f"{url}/0")
    eventually(lambda: waits(server, url, 0), "a reader waits")
    assert client.delete(f"{url}/0").status_code == 200
    answer = waiting.result(DEADLINE_SECONDS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "Lp-Trickle-Closed" not in answer.headers
    assert client.delete(f"{url}/1").status_code == 400
    assert client.delete(f"{server.url}/gone/0").status_code == 404


def test_idle_channels_are_swept(client: httpx.Client, pool: ThreadPoolExecutor) -> None:
    with run_trickle_server(sweep_seconds=0.01) as server:
        idle, busy = server.create("idle"), server.create("busy")
        waiting = pool.submit(client.get, f"{idle}/0")
        eventually(lambda: waits(server, idle, 0), "a reader waits")
        for channel in server.channels.values():
            channel.written -= server.idle_seconds - MARGIN_SECONDS
        client.post(f"{busy}/0", content=b"x")
        for name in ("busy", "idle"):
            server.channels[name].written -= MARGIN_SECONDS
        eventually(lambda: "idle" not in server.channels, "the idle channel swept")
        assert waiting.result(DEADLINE_SECONDS).headers["Lp-Trickle-Closed"] == "terminated"
        assert client.get(f"{busy}/0").content == b"x"
