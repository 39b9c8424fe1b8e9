"""The example, called directly: write your model's own tests here, no server is needed.

A frame is what the container hands to the model; what `process_frame` returns is encoded.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from <<cookiecutter.package_name>>.model import Model, Stream
from <<cookiecutter.package_name>>.runtime.interface.live import (
    InvalidRequestError,
    Picture,
    Session,
)

from sample import CLIP


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = Model()
    model.load(Path("weights"))
    yield model
    model.close()


@pytest.fixture
def session() -> Session:
    """A caller's session; it keeps what the model has emitted."""
    return Session("a-session")


@pytest.fixture
def stream(model: Model, session: Session) -> Iterator[Stream]:
    stream = model.open(session)
    yield stream
    stream.close()


@pytest.fixture(scope="module")
def frames() -> list[Picture]:
    """Frames of the clip: uint8 of (height, width, 3), RGB, read-only as in the container."""
    with av.open(str(CLIP)) as clip:
        decoded = itertools.islice(clip.decode(video=0), 40)
        pictures = [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in decoded]
    for picture in pictures:
        picture.flags.writeable = False
    return pictures


def process(stream: Stream, frame: Picture, **params: Any) -> Picture:
    result = stream.process_frame(frame, stream.update_params(params))
    assert result is not None
    assert result.dtype == np.uint8
    assert result.shape == frame.shape
    return result


def test_colors_are_inverted(stream: Stream, frames: list[Picture]) -> None:
    assert np.array_equal(process(stream, frames[0]), 255 - frames[0])


def test_colors_can_be_left_as_they_are(stream: Stream, frames: list[Picture]) -> None:
    assert np.array_equal(process(stream, frames[0], invert=False), frames[0])


@pytest.mark.parametrize("gain", [0.5, 2])
def test_gain(stream: Stream, frames: list[Picture], gain: float) -> None:
    brighter = process(stream, frames[0], invert=False, gain=gain).astype(int)
    assert np.abs(brighter - np.clip(gain * frames[0].astype(float), 0, 255)).max() <= 1


def test_brightness_is_told_now_and_then(
    stream: Stream, session: Session, frames: list[Picture]
) -> None:
    for frame in frames:
        process(stream, frame)
    told = [json.loads(line) for line in session.data]
    assert [line["frame"] for line in told] == list(range(0, len(frames), 30))
    for line in told:
        assert line["brightness"] == pytest.approx(frames[line["frame"]].mean())


@pytest.mark.parametrize(
    ("params", "field"),
    [({"gain": -1}, "gain"), ({"gain": "much"}, "gain"), ({"invert": "perhaps"}, "invert")],
)
def test_a_wrong_parameter_is_named(stream: Stream, params: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError, match=field) as refusal:
        stream.update_params(params)
    assert refusal.value.field == field
