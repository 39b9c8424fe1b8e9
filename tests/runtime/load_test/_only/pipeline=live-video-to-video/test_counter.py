"""The counter in the picture: it comes out as it went in, or it is not read at all."""

import io
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

from harness import DATA
from load_test.clip import Clip
from load_test.counter import MOST, Counter, draw, read
from streaming import BUNNY

CASES = [Counter(0, 0), Counter(MOST - 1, MOST - 1), Counter(0x5555, 0xAAAA), Counter(7, 131)]

type Picture = NDArray[np.uint8]


def pictured(counter: Counter, width: int = 640, height: int = 360) -> VideoFrame:
    """On a picture of the clip."""
    with av.open(str(BUNNY)) as source:
        frame = next(source.decode(video=0)).reformat(width, height, "yuv420p")
    return draw(frame, counter)


def changed(frame: VideoFrame, change: Callable[[Picture], Picture]) -> VideoFrame:
    picture = change(frame.to_ndarray(format="rgb24").astype(np.uint8))
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


@pytest.mark.parametrize("counter", CASES)
@pytest.mark.parametrize("size", [(1920, 1080), (640, 360), (176, 144), (90, 160), (854, 480)])
def test_what_is_drawn_is_read(counter: Counter, size: tuple[int, int]) -> None:
    assert read(pictured(counter, *size)) == counter


@pytest.mark.parametrize("counter", CASES)
@pytest.mark.parametrize(
    "change",
    [
        lambda picture: 255 - picture,
        lambda picture: np.clip(picture * 2.0, 0, 255).astype(np.uint8),
        lambda picture: picture // 2,
        lambda picture: picture[::2, ::2],
        lambda picture: picture[:, :, ::-1],
        lambda picture: np.repeat(np.repeat(picture, 2, 0), 2, 1),
    ],
    ids=["inverted", "brighter", "darker", "half the size", "other colors", "twice the size"],
)
def test_it_survives_what_models_do(counter: Counter, change: Callable[[Picture], Picture]) -> None:
    assert read(changed(pictured(counter), change)) == counter


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture,
        lambda picture: np.zeros_like(picture),
        lambda picture: np.random.default_rng(1).integers(0, 256, picture.shape, np.uint8),
    ],
    ids=["no counter", "black", "noise"],
)
def test_what_shows_no_counter_is_not_taken_for_one(
    change: Callable[[Picture], Picture],
) -> None:
    with av.open(str(BUNNY)) as source:
        frames = [changed(frame, change) for frame in islice(source.decode(video=0), 40)]
    assert [read(frame) for frame in frames] == [None] * 40


def test_a_damaged_cell_is_found_out() -> None:
    """One bit that is wrong makes no other counter."""

    def cover(picture: Picture) -> Picture:
        picture = picture.copy()
        picture[:22, 200:226] = 255 - picture[:22, 200:226]
        return picture

    assert read(changed(pictured(Counter(7, 131)), cover)) is None


def test_a_session_streams_the_clip_again_and_again() -> None:
    """Each picture with the session's counter; segments begin with tables and a keyframe."""
    clip = Clip(BUNNY)
    clip.prepare([7, 8])
    count = 2 * clip.length + 10
    parts = list(islice(clip.stream(7), count))
    assert [number for number, _, _ in parts] == list(range(count))
    for _, begins, data in parts:
        assert len(data) % 188 == 0
        tables = [at for at in range(0, len(data), 188) if data[at + 1] & 31 == data[at + 2] == 0]
        assert bool(tables) == begins
    assert parts[0][1]
    assert parts[clip.length][1]
    with av.open(io.BytesIO(b"".join(data for _, _, data in parts)), "r") as reader:
        frames = [(clip.number(frame.pts or 0), read(frame)) for frame in reader.decode(video=0)]
    assert frames == [(n, Counter(7, n % clip.length)) for n in range(count)]


def test_a_file_that_is_no_clip(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.mp4"
    rubbish.write_bytes(b"rubbish" * 1000)
    sound = tmp_path / "sound.wav"
    with av.open(str(BUNNY)) as source, av.open(str(sound), "w") as target:
        stream = target.add_stream("pcm_s16le", rate=48_000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    for path, words in (
        (rubbish, "Invalid data"),
        (sound, "no video"),
        (tmp_path / "missing.mp4", "No such file"),
        (DATA, "Is a directory"),
    ):
        with pytest.raises(OSError, match=f"^{re.escape(str(path))}: ") as refusal:
            Clip(path)
        assert words in str(refusal.value)
