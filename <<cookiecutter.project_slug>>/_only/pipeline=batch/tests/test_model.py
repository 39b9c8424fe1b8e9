"""The example, called directly: write your model's own tests here, no server is needed.

`request` is what a caller sends; what `predict` returns is what the caller gets.
"""

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from types import GeneratorType
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFilter, ImageStat

from <<cookiecutter.package_name>>.model import Model
from <<cookiecutter.package_name>>.runtime.interface.batch import (
    Binary,
    InvalidRequestError,
    Request,
)

from sample import JOB


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = Model()
    model.load(Path("weights"))
    yield model
    model.close()


def request(body: bytes, content_type: str) -> Request:
    return Request(memoryview(body), content_type, "a-session", "a-request")


def order(**fields: Any) -> Request:
    """A job in JSON."""
    job = {"image": b64encode(JOB.read_bytes()).decode(), **fields}
    return request(json.dumps(job).encode(), "application/json")


def picture(answer: Any) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(answer["image"])))


def noise(photo: Image.Image) -> float:
    """What a median filter would still change, in grey levels."""
    grey = photo.convert("L")
    rest = ImageChops.difference(grey, grey.filter(ImageFilter.MedianFilter(3)))
    return ImageStat.Stat(rest).mean[0]


def test_takes_the_noise_out_of_the_photograph(model: Model) -> None:
    with Image.open(JOB) as photo:
        result = picture(model.predict(order(passes=4, sharpen=0)))
        assert result.size == photo.size
        assert noise(result) < 0.5 * noise(photo)


def test_bytes_in_bytes_out(model: Model) -> None:
    answer = model.predict(request(JOB.read_bytes(), "image/jpeg"))
    assert isinstance(answer, Binary)
    assert answer.content_type == "image/png"
    assert bytes(answer.data).startswith(b"\x89PNG")


def test_a_stream_tells_the_progress_and_ends_with_the_photograph(model: Model) -> None:
    answer = model.predict(order(passes=3, stream=True))
    assert isinstance(answer, GeneratorType)
    *progress, last = answer
    assert [value["progress"] for value in progress] == [0.25, 0.5, 0.75]
    assert last == model.predict(order(passes=3))


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"image": "no base64!"}, "image"), ({"passes": 17}, "passes"), ({"sharpen": "x"}, "sharpen")],
)
def test_a_wrong_input_is_named(model: Model, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named) as refusal:
        model.predict(order(**fields))
    assert refusal.value.field == named


def test_a_damaged_photograph_is_refused(model: Model) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        model.predict(request(JOB.read_bytes()[:20_000], "image/jpeg"))
    assert refusal.value.field == "image"
