"""The quick start, run as its user does."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from harness import DEADLINE_SECONDS, Server, StartServer, eventually, run_server
from streaming import BUNNY, BUNNY_FRAMES, pictures

TOKEN = "a token"


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("stream")
    with run_server(folder, BYOC_AUTH_TOKEN=TOKEN, BYOC_MAX_LATENCY_SECONDS="20") as server:
        yield server


def stream(server: Server, result: Path, *options: str) -> subprocess.CompletedProcess[str]:
    url = f"--url=http://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "standins.stream", str(BUNNY), str(result), url, "--speed=4"]
    return subprocess.run(
        [*command, *options],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that has failed says."""
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", ["out.mp4", "out.ts"])
def test_the_clip_comes_back(container: Server, tmp_path: Path, name: str) -> None:
    result = tmp_path / name
    params = '--params={"do": "invert"}'
    done = stream(container, result, f"--token={TOKEN}", params)
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stdout
    assert f"{BUNNY_FRAMES} frames in, {BUNNY_FRAMES} out" in done.stdout
    with av.open(str(result), "r") as video:
        assert video.streams.audio
        frames = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
    assert len(frames) == BUNNY_FRAMES
    for frame, sent in zip(frames, pictures(640, 360), strict=True):
        expected = 255 - sent.to_ndarray(format="gray").astype(int)
        assert abs(frame - expected).mean() < 8


def test_events_and_data_are_shown(container: Server, tmp_path: Path) -> None:
    params = '--params={"do": "count"}'
    done = stream(container, tmp_path / "out.ts", f"--token={TOKEN}", params)
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"started", "heartbeat", "counted", "data"} <= set(kinds)
    assert kinds.count("data") == BUNNY_FRAMES


def test_errors_are_shown_and_nothing_is_a_failure(
    start_server: StartServer, tmp_path: Path
) -> None:
    with start_server(BYOC_UNPROCESSED_FRAMES="drop") as server:
        done = stream(server, tmp_path / "out.mp4", '--params={"do": "fail"}')
    assert "nothing came back" in only_line(done)
    assert "model_error" in done.stdout


def test_a_stream_that_the_container_ends(start_server: StartServer, tmp_path: Path) -> None:
    """What came until then is kept."""
    result = tmp_path / "out.mp4"
    with start_server() as server:
        command = server.pool.submit(stream, server, result, "--speed=1")
        eventually(lambda: (server.metric("byoc_frames_out_total") or 0) > 25, "frames")
        assert server.stop() == 0
        done = command.result()
    assert "the container has ended the stream" in only_line(done)
    with av.open(str(result), "r") as video:
        count = len(list(video.decode(video=0)))
    assert 25 < count < BUNNY_FRAMES
    assert f"{count} out" in done.stdout


def test_a_refusal_is_told_in_the_containers_words(container: Server, tmp_path: Path) -> None:
    line = only_line(stream(container, tmp_path / "out.mp4"))
    assert "401" in line
    assert "the bearer token is missing or wrong" in line
    assert not (tmp_path / "out.mp4").exists()


def test_a_container_that_is_not_there(container: Server, tmp_path: Path) -> None:
    line = only_line(stream(container, tmp_path / "out.mp4", "--url=http://127.0.0.1:9"))
    assert "can't be reached" in line
