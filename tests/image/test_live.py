"""Live video through a hardened container, by the repository's own quick start."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from image.engine import KILL_SECONDS, Container, Image, container, eventually

PIPELINE = "live-video-to-video"
CLIP_FRAMES = 132
MINIMUM = 25
STREAM_SECONDS = 120
# In steps of 256, between a frame that came back and the clip's negative.
NEAR = 8
COMPARE = """
import av, sys
clip, result = ([frame.to_ndarray(format="gray").astype(int) for frame in video.decode(video=0)]
                for video in map(av.open, sys.argv[1:]))
print(*(abs(255 - one - other).mean() for one, other in zip(clip, result)))
"""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def run(image: Image, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Python with the repository's dependencies, in the repository."""
    return subprocess.run(
        ["uv", "run", "--quiet", "--no-dev", "python", *arguments],
        cwd=image.root,
        capture_output=True,
        text=True,
        timeout=STREAM_SECONDS,
        check=False,
    )


def stream(image: Image, target: Container, result: Path) -> subprocess.CompletedProcess[str]:
    """The clip, from this machine, at its own pace."""
    where = (f"--url=http://{target.address}:8000", f"--host={target.gateway}")
    return run(image, "-m", "emulator.stream", "tests/data/bigbuckbunny.mp4", result, *where)


def compare(image: Image, result: Path) -> list[float]:
    """How far each frame of the result is from the clip's, inverted."""
    done = run(image, "-c", COMPARE, "tests/data/bigbuckbunny.mp4", result)
    assert done.returncode == 0, done.stderr
    return [float(difference) for difference in done.stdout.split()]


def test_clip_comes_back(image: Image, server: Container, tmp_path: Path) -> None:
    done = stream(image, server, tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr + server.log()
    differences = compare(image, tmp_path / "out.mp4")
    assert len(differences) == CLIP_FRAMES
    assert max(differences) < NEAR
    assert server.metric("byoc_frames_unprocessed_total") == 0


def test_stop_during_a_stream_loses_no_accepted_frame(
    image: Image, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    with container(image.tag) as running:
        running.wait_healthy()
        command = pool.submit(stream, image, running, tmp_path / "out.mp4")
        eventually(lambda: running.metric("byoc_frames_out_total") > MINIMUM, "frames")
        seconds = running.stop()
        assert running.state["ExitCode"] == 0, running.log()
        assert seconds < KILL_SECONDS
        (ended,) = running.events("session ended")
    assert "has ended the stream" in command.result().stderr
    assert ended["frames_dropped"] == {}
    differences = compare(image, tmp_path / "out.mp4")
    assert ended["frames_in"] == len(differences) < CLIP_FRAMES
    assert max(differences[:-1]) < NEAR  # of the last one, a part may not have arrived yet
