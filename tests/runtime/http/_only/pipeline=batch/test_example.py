"""The example on a real photograph, through the real server."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import ExifTags, Image, ImageChops, ImageFilter, ImageStat

from emulator.container import PACKAGE, Container
from harness import DATA, run_server


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("model")
    with run_server(folder, BYOC_MODEL=f"{PACKAGE}.model:Model") as server:
        yield server


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A JPEG photograph of 512 x 600 pixels."""
    return (DATA / "grace_hopper.jpg").read_bytes()


def order(photo: bytes, **parameters: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(photo).decode(), **parameters}


def decode(image: bytes) -> Image.Image:
    return Image.open(io.BytesIO(image)).convert("RGB")


def noise(photo: Image.Image) -> float:
    """What a median filter would still change, in grey levels."""
    grey = photo.convert("L")
    rest = ImageChops.difference(grey, grey.filter(ImageFilter.MedianFilter(3)))
    return ImageStat.Stat(rest).mean[0]


def read_events(lines: Iterator[str]) -> list[Any]:
    """The values of a stream, with the fragments of large ones joined."""
    values: list[Any] = []
    text = ""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and line != "data: [DONE]":
            value = json.loads(line.removeprefix("data: "))
            if name == "fragment":
                text += value["text"]
                if value["index"] + 1 < value["count"]:
                    continue
                value, text = json.loads(text), ""
            values.append(value)
            name = ""
    return values


def test_takes_the_noise_out_of_the_photograph(container: Container, photo: bytes) -> None:
    answer = container.jobs.post("/run", json=order(photo, passes=4, sharpen=0)).json()
    image = decode(base64.b64decode(answer["image"]))
    assert (answer["width"], answer["height"]) == image.size == (512, 600)
    assert noise(image) < 0.5 * noise(decode(photo))
    difference = ImageStat.Stat(ImageChops.difference(image, decode(photo)))
    assert max(difference.mean) < 10, "no longer the same picture"


def test_sharpens_the_photograph(container: Container, photo: bytes) -> None:
    answers = [
        container.jobs.post("/run", json=order(photo, passes=0, sharpen=sharpen)).json()
        for sharpen in (0, 300)
    ]
    plain, sharp = (decode(base64.b64decode(answer["image"])) for answer in answers)
    assert not ImageChops.difference(plain, decode(photo)).getbbox()
    assert noise(sharp) > 1.5 * noise(plain)


def test_raw_photograph_in_png_out(container: Container, photo: bytes) -> None:
    answer = container.jobs.post("/run", content=photo, headers={"Content-Type": "image/jpeg"})
    assert answer.headers["Content-Type"] == "image/png"
    as_json = container.jobs.post("/run", json=order(photo)).json()
    assert answer.content == base64.b64decode(as_json["image"])


def test_png_is_read_too(container: Container, photo: bytes) -> None:
    png = io.BytesIO()
    decode(photo).save(png, "PNG")
    answer = container.jobs.post("/run", json=order(png.getvalue(), passes=0, sharpen=0)).json()
    image = decode(base64.b64decode(answer["image"]))
    assert not ImageChops.difference(image, decode(photo)).getbbox()


def test_a_photograph_is_turned_upright(container: Container, photo: bytes) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = io.BytesIO()
    decode(photo).save(turned, "JPEG", exif=exif)
    answer = container.jobs.post("/run", json=order(turned.getvalue(), passes=0)).json()
    assert (answer["width"], answer["height"]) == (600, 512)


def test_only_the_models_process_loads_its_libraries(container: Container) -> None:
    for pid, loads in ((container.process.pid, False), (container.worker(), True)):
        assert ("PIL" in Path(f"/proc/{pid}/maps").read_text()) == loads


def test_stream_yields_progress_and_the_photograph(container: Container, photo: bytes) -> None:
    request = order(photo, passes=3, stream=True)
    with container.jobs.stream("POST", "/run", json=request) as answer:
        *progress, last = read_events(answer.iter_lines())
    assert [value["progress"] for value in progress] == [0.25, 0.5, 0.75]
    assert last == container.jobs.post("/run", json=order(photo, passes=3)).json()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"image": "no base64!"}, "image"),
        ({"image": base64.b64encode(b"no image").decode()}, "image"),
        ({"passes": 17}, "passes"),
        ({"sharpen": "much"}, "sharpen"),
    ],
)
def test_a_wrong_input_is_named(
    container: Container, photo: bytes, change: dict[str, Any], field: str
) -> None:
    answer = container.jobs.post("/run", json=order(photo) | change)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["type"] == "bad_request"
    assert error["field"] == field
    assert field in error["message"]


def test_a_damaged_photograph_is_refused(container: Container, photo: bytes) -> None:
    headers = {"Content-Type": "image/jpeg"}
    answer: httpx.Response = container.jobs.post("/run", content=photo[:20_000], headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "image"
