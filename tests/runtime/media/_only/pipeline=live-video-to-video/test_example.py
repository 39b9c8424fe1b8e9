"""The example on a real clip, through the real server."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.container import DEADLINE_SECONDS, PACKAGE, Container, eventually
from emulator.trickle import TrickleServer
from harness import run_server
from streaming import Caller, bunny, frames, joined

FRAMES = 40
SPEED = 4
# What encoding twice changes, in steps of 256.
LOSS = 8

type Picture = NDArray[np.int16]


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("model")
    with run_server(
        folder,
        BYOC_MODEL=f"{PACKAGE}.model:Model",
        BYOC_CAPACITY="8",
        BYOC_MAX_LATENCY_SECONDS="20",
    ) as server:
        yield server


class Sent(NamedTuple):
    """A stream that has ended: the pictures of its clip, and who had it."""

    pictures: list[Picture]
    caller: Caller

    def expect(self, look: Callable[[Picture], Picture]) -> None:
        """All pictures have come back, changed like this."""
        received = decode(self.caller.output())
        assert len(received) == len(self.pictures)
        for before, after in zip(self.pictures, received, strict=True):
            assert np.abs(after - look(before)).mean() < LOSS


@pytest.fixture
def send(
    container: Container, trickle: TrickleServer, request: pytest.FixtureRequest
) -> Iterator[Callable[[Any], Sent]]:
    """Streams a clip with these parameters from its start to its end."""
    clip = bunny(frames=FRAMES, size=(320, 180), audio=False)
    with Caller(container, trickle, re.sub(r"\W+", "-", request.node.name)) as caller:

        def send(params: Any) -> Sent:
            caller.play(clip, params=params, speed=SPEED)
            return Sent(decode(joined(clip)), caller)

        yield send


def decode(data: bytes) -> list[Picture]:
    """In RGB."""
    return [frame.to_ndarray(format="rgb24").astype(np.int16) for frame in frames(data)]


def test_colors_are_inverted(send: Callable[[Any], Sent]) -> None:
    send(None).expect(lambda picture: 255 - picture)


def test_colors_can_be_left_as_they_are(send: Callable[[Any], Sent]) -> None:
    send({"invert": False}).expect(lambda picture: picture)


@pytest.mark.parametrize("gain", [0.5, 2])
def test_gain(send: Callable[[Any], Sent], gain: float) -> None:
    sent = send({"invert": False, "gain": gain})
    sent.expect(lambda picture: np.clip(picture * gain, 0, 255).astype(np.int16))


def test_brightness_is_told_now_and_then(send: Callable[[Any], Sent]) -> None:
    sent = send({})
    lines = sent.caller.lines()
    assert [line["frame"] for line in lines] == list(range(0, FRAMES, 30))
    for line in lines:
        assert line["brightness"] == pytest.approx(sent.pictures[line["frame"]].mean(), abs=1)


@pytest.mark.parametrize(
    ("params", "field"),
    [({"gain": -1}, "gain"), ({"gain": "much"}, "gain"), ({"invert": "perhaps"}, "invert")],
)
def test_a_wrong_parameter_is_named(
    send: Callable[[Any], Sent], params: dict[str, Any], field: str
) -> None:
    """The stream runs on, with what parameters are without the caller's."""
    sent = send(params)
    (event,) = sent.caller.events("error")
    assert event["error"]["type"] == "bad_request"
    assert event["error"]["field"] == field
    assert field in event["error"]["message"]
    sent.expect(lambda picture: 255 - picture)


@pytest.mark.parametrize("body", [b'{"invert": true}', b'{"params": {"invert": true}}'])
def test_parameters_change_while_the_stream_runs(
    container: Container, trickle: TrickleServer, body: bytes
) -> None:
    clip = bunny(frames=FRAMES, size=(320, 180), audio=False)
    sent = decode(joined(clip))
    with Caller(container, trickle, f"changes-{len(body)}") as caller:
        caller.open({"invert": False})
        caller.publish(clip[:1], speed=SPEED).result(DEADLINE_SECONDS)
        eventually(lambda: caller.lines(), "the first picture is through")
        headers = {"X-Stream-Id": caller.id}
        container.jobs.post("/stream/params", content=body, headers=headers).raise_for_status()
        eventually(lambda: caller.events("params_updated"), "updated")
        caller.publish(clip[1:], speed=SPEED).result(DEADLINE_SECONDS)
        caller.finish()
        received = decode(caller.output())
    assert len(received) == len(sent)
    assert np.abs(received[0] - sent[0]).mean() < LOSS
    assert np.abs(received[-1] - (255 - sent[-1])).mean() < LOSS
