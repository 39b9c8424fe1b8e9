"""The stand-in for an orchestrator's trickle server: by hand, then with the official SDK."""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, Self
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest
from livepeer_gateway.channel_reader import ChannelReader, JSONLReader
from livepeer_gateway.channel_writer import JSONLWriter
from livepeer_gateway.control import Control
from livepeer_gateway.media_output import MediaOutput
from livepeer_gateway.media_publish import MediaPublish, MediaPublishConfig, VideoOutputConfig
from livepeer_gateway.trickle_publisher import TricklePublisher, TricklePublisherTerminalError
from livepeer_gateway.trickle_subscriber import TrickleSubscriber

from emulator.container import DEADLINE_SECONDS, eventually
from emulator.trickle import TrickleServer, run_trickle_server
from orchestrator.certificate import self_signed

MARGIN_SECONDS = 30


@pytest.fixture(scope="module")
def server() -> Iterator[TrickleServer]:
    with run_trickle_server() as server:
        yield server


@pytest.fixture
def url(server: TrickleServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A channel of the test's name, of type text/plain."""
    yield server.create(request.node.name, "text/plain")
    server.close_channel(request.node.name)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=DEADLINE_SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Publisher:
    """A POST whose body is sent piece by piece."""

    def __init__(self, url: str, **headers: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.netloc, timeout=DEADLINE_SECONDS)
        self._connection.putrequest("POST", address.path)
        for name, value in {"Transfer-Encoding": "chunked", **headers}.items():
            self._connection.putheader(name.replace("_", "-"), value)
        self._connection.endheaders()

    def send(self, data: bytes) -> None:
        self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> http.client.HTTPResponse:
        answer = self._connection.getresponse()
        answer.read()
        return answer

    def end(self) -> http.client.HTTPResponse:
        self._connection.send(b"0\r\n\r\n")
        return self.answer()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def waits(server: TrickleServer, url: str, index: int) -> bool:
    """Whether somebody has asked for that segment, to write or to read it."""
    return server.channels[url.rpartition("/")[2]].get(index) is not None


# By hand: publishing


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
    """By the writer: a reader who asks in advance takes its place, and nobody ends it then."""
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


# By hand: subscribing


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


# By hand: closing


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


# With the official SDK


def run[T](scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, DEADLINE_SECONDS))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return self_signed(tmp_path_factory.mktemp("certificate"))


async def read(subscriber: TrickleSubscriber) -> bytes | None:
    """The next segment, None at the end of the stream."""
    if (segment := await subscriber.next()) is None:
        return None
    reader = segment.make_reader()
    data = b""
    while chunk := await reader.read():
        data += chunk
    await segment.close()
    return data


@pytest.mark.parametrize("tls", [False, True])
def test_sdk_publisher_to_subscriber(tls: bool, certificate: ssl.SSLContext) -> None:
    async def scenario(url: str) -> None:
        async with TrickleSubscriber(url, start_seq=0) as subscriber:
            async with TricklePublisher(url, "text/plain") as publisher:
                for index in range(8):
                    async with await publisher.next() as segment:
                        assert segment.seq() == index
                        await segment.write(b"%d-" % index)
                        await segment.write(b"end")
                    assert await read(subscriber) == b"%d-end" % index
                assert publisher.get_stats().post_http_failures == 0
            assert await read(subscriber) is None

    with run_trickle_server(tls=certificate if tls else None) as server:
        assert server.url.startswith("https:" if tls else "http:")
        run(scenario(server.create("one")))
        assert "one" not in server.channels


def test_sdk_subscriber_that_comes_late_jumps_to_what_is_next(
    url: str, client: httpx.Client
) -> None:
    async def scenario() -> None:
        async with TrickleSubscriber(url, start_seq=0) as subscriber:
            late = asyncio.create_task(read(subscriber))
            await asyncio.to_thread(eventually, lambda: subscriber.get_stats().get_470_reset, "470")
            await asyncio.to_thread(client.post, f"{url}/7", content=b"seven")
            assert await late == b"seven"

    for index in range(7):
        client.post(f"{url}/{index}", content=b"x")
    run(scenario())


def test_sdk_publisher_goes_on_where_another_was_lost(url: str, client: httpx.Client) -> None:
    async def scenario() -> None:
        async with TrickleSubscriber(url, start_seq=0) as subscriber:
            lost_segment = await subscriber.next()
            assert lost_segment is not None
            async with TricklePublisher(url, "text/plain") as publisher:
                async with await publisher.next() as segment:
                    assert segment.seq() == 1
                    await segment.write(b"new")
                reader = lost_segment.make_reader()
                assert [await reader.read(), await reader.read()] == [b"old", None]
                assert await read(subscriber) == b"new"

    with Publisher(f"{url}/0") as lost:
        lost.send(b"old")
        run(scenario())


def test_sdk_publisher_ends_when_the_channel_does(server: TrickleServer, url: str) -> None:
    async def publish(publisher: TricklePublisher) -> None:
        async with await publisher.next() as segment:
            await segment.write(b"x")

    async def scenario() -> None:
        async with TricklePublisher(url, "text/plain") as publisher:
            await publish(publisher)
            server.close_channel(url.rpartition("/")[2])
            while True:
                await publish(publisher)
                await asyncio.sleep(0.01)

    with pytest.raises(TricklePublisherTerminalError):
        run(scenario())


def test_sdk_control_to_channel_reader(url: str) -> None:
    messages: list[dict[str, Any]] = [{"keep": "alive"}, {"prompt": "ü", "strength": 0.5}, {}]

    async def scenario() -> list[dict[str, Any]]:
        control, received = Control(url), []
        events = ChannelReader(url)(start_seq=0)
        for message in messages:
            await control.write(message)
            received.append(await anext(events))
        await control.close()
        return received + [event async for event in events]

    assert run(scenario()) == messages


def test_sdk_jsonl_writer_to_reader(url: str) -> None:
    lines = [{"index": index} for index in range(5)]

    async def scenario() -> list[dict[str, Any]]:
        writer, received = JSONLWriter(url, segment_interval=0.05), []
        reader = JSONLReader(url)(start_seq=0)
        for line in lines:
            await writer.write(line)
            received.append(await anext(reader))
        await writer.close()
        return received + [line async for line in reader]

    assert run(scenario()) == lines


def test_sdk_media_publish_to_media_output(server: TrickleServer) -> None:
    """Two frames a second in segments of two seconds: the encoder is never behind."""
    sent, per_segment = 16, 4
    config = MediaPublishConfig(
        tracks=[VideoOutputConfig(queue_size=sent, fps=2, keyframe_interval_s=2)],
        min_segment_wallclock_s=0,
    )

    def shade(index: int) -> int:
        return 10 * index + 40

    def picture(index: int) -> av.VideoFrame:
        pixels = np.full((48, 64, 3), shade(index), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 2)
        return frame

    async def scenario() -> list[tuple[float | None, float]]:
        async def watch() -> list[tuple[float | None, float]]:
            return [
                (it.pts_time, float(it.frame.to_ndarray(format="rgb24").mean()))
                async for it in output.frames()
                if isinstance(it.frame, av.VideoFrame)
            ]

        publish = MediaPublish(url, config=config)
        async with MediaOutput(url, start_seq=0) as output:
            watching = asyncio.create_task(watch())
            for index in range(sent):
                await publish.write_frame(picture(index))
            await asyncio.to_thread(
                eventually, lambda: output.get_stats().segments_consumed == 4, "four read"
            )
            await publish.close()
            return await watching

    url = server.create("video")
    received = run(scenario())
    # The publisher does not wait for the segment that is open when it is closed.
    assert len(received) >= 3 * per_segment
    assert [time for time, _ in received] == [index / 2 for index in range(len(received))]
    brightness = [value for _, value in received]
    assert brightness == pytest.approx([shade(index) for index in range(len(received))], abs=3)
