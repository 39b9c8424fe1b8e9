"""The model: the file to edit.

The container runs one `Model` in a process of its own: `load` once, `predict` for each job, `close`
before a clean exit. A crash, a hang or an endless loop in here costs the job, not the container.

The example takes the noise out of a photograph and sharpens it.
"""

from base64 import b64encode
from collections.abc import Generator
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError
from pydantic import Base64Bytes, BaseModel, Field

from .runtime.interface.batch import Answer, Binary, InvalidRequestError, Json, Request


class Parameters(BaseModel, extra="forbid"):
    """`passes` of a 3x3 median filter, then an unsharp mask of `sharpen` percent."""

    passes: int = Field(default=2, ge=0, le=16)
    sharpen: int = Field(default=120, ge=0, le=500)
    stream: bool = False


class Job(Parameters):
    image: Base64Bytes


class Model:
    MAX_PARALLEL = 1

    def load(self, weights: Path) -> None:
        """Read the weights and warm up; `weights` is the folder BYOC_WEIGHTS_DIR names."""
        Image.init()

    def predict(self, request: Request) -> Answer:
        """A photograph as the body, or JSON with the photograph in base64 and the parameters.

        Returns the answer, or a generator of JSON values, which the caller gets as server-sent
        events. Raise InvalidRequestError for the caller's mistakes.
        """
        if request.content_type.startswith("image/"):
            photo = decode(bytes(request.body))
            return Binary(encode(enhance(photo, Parameters())), "image/png")
        job = request.parse(Job)
        photo = decode(job.image)
        if job.stream:
            return progress(photo, job)
        return answer(enhance(photo, job))

    def close(self) -> None:
        """Give back what `load` took."""


def enhance(photo: Image.Image, parameters: Parameters) -> Image.Image:
    for _ in range(parameters.passes):
        photo = denoise(photo)
    return sharpen(photo, parameters)


def progress(photo: Image.Image, parameters: Parameters) -> Generator[Json]:
    for done in range(1, parameters.passes + 1):
        photo = denoise(photo)
        yield {"progress": done / (parameters.passes + 1)}
    yield answer(sharpen(photo, parameters))


def denoise(photo: Image.Image) -> Image.Image:
    return photo.filter(ImageFilter.MedianFilter(3))


def sharpen(photo: Image.Image, parameters: Parameters) -> Image.Image:
    return photo.filter(ImageFilter.UnsharpMask(radius=2, percent=parameters.sharpen))


def answer(photo: Image.Image) -> Json:
    return {
        "image": b64encode(encode(photo)).decode(),
        "width": photo.width,
        "height": photo.height,
    }


def decode(data: bytes) -> Image.Image:
    """PNG or JPEG to RGB, upright."""
    try:
        photo = Image.open(BytesIO(data), formats=["PNG", "JPEG"])
        return ImageOps.exif_transpose(photo).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise InvalidRequestError(f"image is no readable PNG or JPEG: {error}", "image") from None


def encode(photo: Image.Image) -> bytes:
    png = BytesIO()
    photo.save(png, "PNG", compress_level=1)
    return png.getvalue()
