"""The official SDK as the referee: against the stand-in, and against ours through it both ways."""

import asyncio
import json
import ssl
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any

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

from by_hand import Publisher, waits
from emulator.container import DEADLINE_SECONDS, eventually
from emulator.trickle import TrickleServer, run_trickle_server
from orchestrator.certificate import self_signed
from ours import ChannelClosedError, publishing, segments
from streaming import bunny, frames, joined

MESSAGES: list[dict[str, Any]] = [{"keep": "alive"}, {"prompt": "ü", "strength": 0.5}, {}]
LINES = [{"index": index} for index in range(5)]
CLIP = bunny(size=(160, 90), frames=75, audio=False)


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


async def write(publisher: TricklePublisher, *pieces: bytes) -> None:
    """One segment."""
    async with await publisher.next() as segment:
        for piece in pieces:
            await segment.write(piece)


# The SDK alone


@pytest.mark.parametrize("tls", [False, True])
def test_sdk_publisher_to_subscriber(tls: bool, certificate: ssl.SSLContext) -> None:
    async def scenario(url: str) -> None:
        async with TrickleSubscriber(url, start_seq=0) as subscriber:
            async with TricklePublisher(url, "text/plain") as publisher:
                for index in range(8):
                    await write(publisher, b"%d-" % index, b"end")
                    assert await read(subscriber) == b"%d-end" % index
                assert publisher.get_stats().post_http_failures == 0
            assert await read(subscriber) is None

    with run_trickle_server(tls=certificate if tls else None) as server:
        assert server.url.startswith("https:" if tls else "http:")
        run(scenario(server.create("one")))
        assert "one" not in server.channels


def test_late_sdk_subscriber_jumps_to_the_next_segment(url: str, client: httpx.Client) -> None:
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
    async def scenario() -> None:
        async with TricklePublisher(url, "text/plain") as publisher:
            await write(publisher, b"x")
            server.close_channel(url.rpartition("/")[2])
            while True:
                await write(publisher, b"x")
                await asyncio.sleep(0.01)

    with pytest.raises(TricklePublisherTerminalError):
        run(scenario())


def test_sdk_control_to_channel_reader(url: str) -> None:
    async def scenario() -> list[dict[str, Any]]:
        control, received = Control(url), []
        events = ChannelReader(url)(start_seq=0)
        for message in MESSAGES:
            await control.write(message)
            received.append(await anext(events))
        await control.close()
        return received + [event async for event in events]

    assert run(scenario()) == MESSAGES


def test_sdk_jsonl_writer_to_reader(url: str) -> None:
    async def scenario() -> list[dict[str, Any]]:
        writer, received = JSONLWriter(url, segment_interval=0.05), []
        reader = JSONLReader(url)(start_seq=0)
        for line in LINES:
            await writer.write(line)
            received.append(await anext(reader))
        await writer.close()
        return received + [line async for line in reader]

    assert run(scenario()) == LINES


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


# The SDK and ours, both ways


@pytest.mark.parametrize("tls", [False, True])
def test_sdk_publisher_to_ours(tls: bool, certificate: ssl.SSLContext) -> None:
    async def scenario(url: str) -> None:
        received = segments(url)
        async with TricklePublisher(url, "text/plain") as publisher:
            for index in range(8):
                await write(publisher, b"%d-" % index, b"end")
                assert await anext(received) == b"%d-end" % index
        assert [data async for data in received if data] == []

    with run_trickle_server(tls=certificate if tls else None) as server:
        run(scenario(server.create("one")))


@pytest.mark.parametrize("tls", [False, True])
def test_ours_to_sdk_subscriber(tls: bool, certificate: ssl.SSLContext) -> None:
    async def scenario(url: str) -> None:
        async with TrickleSubscriber(url, start_seq=0) as subscriber:
            async with publishing(url) as publisher:
                for index in range(8):
                    await publisher.begin()
                    assert await publisher.write(b"%d-" % index)
                    assert await publisher.write(b"end")
                    await publisher.end()
                    assert await read(subscriber) == b"%d-end" % index
            assert await read(subscriber) is None

    with run_trickle_server(tls=certificate if tls else None) as server:
        run(scenario(server.create("one")))
        assert "one" not in server.channels


def test_ours_to_channel_reader(url: str) -> None:
    """Which reads over what keeps the channel alive."""

    async def scenario() -> list[dict[str, Any]]:
        received, events = [], ChannelReader(url)(start_seq=0)
        async with publishing(url) as publisher:
            for message in MESSAGES:
                assert await publisher.publish(json.dumps(message).encode())
                received.append(await anext(events))
                await publisher.keep_alive()
        return received + [event async for event in events]

    assert run(scenario()) == MESSAGES


def test_sdk_control_to_ours(url: str) -> None:
    async def scenario() -> list[dict[str, Any]]:
        control, messages, received = Control(url), segments(url), []
        for message in MESSAGES:
            await control.write(message)
            received.append(json.loads(await anext(messages)))
        await control.close()
        assert [data async for data in messages if data] == []
        return received

    assert run(scenario()) == MESSAGES


def test_ours_to_jsonl_reader(url: str) -> None:
    """Lines of a segment that stays open are read as they come."""

    async def scenario() -> list[dict[str, Any]]:
        received, reader = [], JSONLReader(url)(start_seq=0)
        async with publishing(url) as publisher:
            await publisher.begin()
            for line in LINES:
                assert await publisher.write(json.dumps(line).encode() + b"\n")
                received.append(await anext(reader))
        return received + [line async for line in reader]

    assert run(scenario()) == LINES


def test_ours_to_media_output(url: str) -> None:
    async def scenario() -> list[float | None]:
        async def watch() -> list[float | None]:
            pictures = [it async for it in output.frames() if isinstance(it.frame, av.VideoFrame)]
            return [picture.pts_time for picture in pictures]

        def all_read() -> bool:
            return output.get_stats().segments_consumed == len(CLIP)

        async with MediaOutput(url, start_seq=0, accepted_content_types={"text/plain"}) as output:
            watching = asyncio.create_task(watch())
            async with publishing(url) as publisher:
                for segment in CLIP:
                    assert await publisher.publish(b"".join(data for _, data in segment))
                await asyncio.to_thread(eventually, all_read, "all read")
            return await watching

    assert run(scenario()) == [frame.time for frame in frames(joined(CLIP))]


def test_our_late_subscriber_jumps_to_the_next_segment(
    server: TrickleServer, url: str, client: httpx.Client
) -> None:
    async def scenario() -> list[bytes]:
        received = segments(url)
        read = [await anext(received)]
        for index in range(1, 9):
            await asyncio.to_thread(client.post, f"{url}/{index}", content=b"%d" % index)

        async def follow() -> None:
            while read[-1] != b"9":
                read.append(await anext(received))

        following = asyncio.create_task(follow())
        await asyncio.to_thread(eventually, lambda: waits(server, url, 9), "asked for")
        await asyncio.to_thread(client.post, f"{url}/9", content=b"9")
        await following
        await received.aclose()
        return read

    client.post(f"{url}/0", content=b"0")
    read = run(scenario())
    assert read == sorted(set(read))


def test_our_publisher_goes_on_where_another_was_lost(url: str) -> None:
    async def scenario() -> None:
        async with TrickleSubscriber(url, start_seq=0) as subscriber:
            lost_segment = await subscriber.next()
            assert lost_segment is not None
            async with publishing(url) as publisher:
                assert await publisher.publish(b"new")
                reader = lost_segment.make_reader()
                assert [await reader.read(), await reader.read()] == [b"old", None]
                assert await read(subscriber) == b"new"

    with Publisher(f"{url}/0") as lost:
        lost.send(b"old")
        run(scenario())


def test_our_publisher_ends_when_the_sdk_closes_the_channel(url: str) -> None:
    async def scenario() -> None:
        async with publishing(url) as publisher:
            assert await publisher.publish(b"x")
            async with TricklePublisher(url, "text/plain") as other:
                await write(other, b"y")
            while True:
                await publisher.publish(b"z")
                await asyncio.sleep(0.01)

    with pytest.raises(ChannelClosedError):
        run(scenario())
