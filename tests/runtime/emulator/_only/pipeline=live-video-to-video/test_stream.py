"""The quick start, run as its user does, with the container alone and through orchestrators."""

import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually
from emulator.via_orchestrator import add_options
from harness import ROOT, run_server
from known import run_known_server
from orchestrator.server import OrchestratorServer, run_orchestrator
from streaming import BUNNY, BUNNY_FRAMES, bunny, frames, joined, pictures

TOKEN = "a token"
SETTINGS: dict[str, Any] = {"BYOC_AUTH_TOKEN": TOKEN, "BYOC_MAX_LATENCY_SECONDS": "20"}
SHORT_FRAMES = 30


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """No orchestrator knows it."""
    with run_server(tmp_path_factory.mktemp("stream"), **SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator() as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
def known(
    orchestrator: OrchestratorServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    """It has room for one stream, which must be given back each time."""
    folder = tmp_path_factory.mktemp("known")
    with run_known_server(orchestrator, folder, **SETTINGS) as server:
        yield server


@pytest.fixture(params=["container", "orchestrator"])
def way(request: pytest.FixtureRequest) -> list[str]:
    """Options of the command: to the container itself, or through an orchestrator."""
    if request.param == "container":
        return to_container(request.getfixturevalue("container"))
    request.getfixturevalue("known")
    return through(request.getfixturevalue("orchestrator"))


@pytest.fixture(params=["container", "orchestrator"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Container, list[str]]]:
    """A server that the test may stop, and the options of the command."""
    if request.param == "container":
        with run_server(tmp_path, **SETTINGS) as server:
            yield server, to_container(server)
        return
    with (
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, **SETTINGS) as server,
    ):
        yield server, through(orchestrator)


def to_container(server: Container) -> list[str]:
    return [f"--url=http://127.0.0.1:{server.port}", f"--token={TOKEN}"]


def through(orchestrator: OrchestratorServer) -> list[str]:
    return [f"--orchestrator={orchestrator.url}", f"--token={TOKEN}"]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of SHORT_FRAMES pictures."""
    clip = tmp_path_factory.mktemp("clip") / "short.ts"
    clip.write_bytes(joined(bunny(frames=SHORT_FRAMES)))
    return clip


def stream(result: Path, *options: str, clip: Path = BUNNY) -> subprocess.CompletedProcess[str]:
    process = start(result, *options, clip=clip)
    try:
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start(result: Path, *options: str, clip: Path = BUNNY) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emulator.stream", str(clip), str(result), "--speed=4"]
    return subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that has failed says."""
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    return line


def test_the_clip_comes_back(way: list[str], tmp_path: Path) -> None:
    result = tmp_path / "out.mp4"
    done = stream(result, '--params={"do": "invert"}', *way)
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stdout
    assert f"{BUNNY_FRAMES} frames in, {BUNNY_FRAMES} out" in done.stdout
    with av.open(str(result), "r") as video:
        assert video.streams.audio
        shown = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
    assert len(shown) == BUNNY_FRAMES
    for frame, sent in zip(shown, pictures(640, 360), strict=True):
        expected = 255 - sent.to_ndarray(format="gray").astype(int)
        assert abs(frame - expected).mean() < 8


def test_a_clip_that_repeats_is_one_stream(
    container: Container, tmp_path: Path, short: Path
) -> None:
    result = tmp_path / "out.ts"
    done = stream(result, "--repeat=3", *to_container(container), clip=short)
    assert done.returncode == 0, done.stderr
    with av.open(str(result), "r") as video:
        shown = [frame.time or 0 for frame in video.decode(video=0)]
    assert len(shown) == len(set(shown)) == 3 * SHORT_FRAMES
    assert shown == sorted(shown)


def test_events_and_data_are_shown(way: list[str], tmp_path: Path, short: Path) -> None:
    result = tmp_path / "out.ts"
    done = stream(result, '--params={"do": "count"}', *way, clip=short)
    assert done.returncode == 0, done.stderr
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"started", "heartbeat", "counted", "data"} <= set(kinds)
    assert kinds.count("data") == SHORT_FRAMES
    assert len(frames(result.read_bytes())) == SHORT_FRAMES


def test_errors_are_shown_and_nothing_is_a_failure(
    start_server: StartContainer, tmp_path: Path, short: Path
) -> None:
    with start_server(BYOC_UNPROCESSED_FRAMES="drop") as server:
        options = ['--params={"do": "fail"}', *to_container(server)]
        done = stream(tmp_path / "out.mp4", *options, clip=short)
    assert "nothing came back" in only_line(done)
    assert "model_error" in done.stdout


def test_a_stream_that_the_container_ends(
    mortal: tuple[Container, list[str]], tmp_path: Path
) -> None:
    """What came until then is kept."""
    server, options = mortal
    result = tmp_path / "out.mp4"
    command = server.pool.submit(stream, result, "--speed=1", *options)
    eventually(lambda: (server.metric("byoc_frames_out_total") or 0) > 25, "frames")
    assert server.stop() == 0
    done = command.result()
    assert "the container has ended the stream" in only_line(done)
    with av.open(str(result), "r") as video:
        count = len(list(video.decode(video=0)))
    assert 25 < count < BUNNY_FRAMES
    assert f"{count} out" in done.stdout


def test_an_orchestrator_that_forgets_everything(tmp_path: Path) -> None:
    """The same: all channels end."""
    result = tmp_path / "out.mp4"
    with (
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, **SETTINGS) as server,
    ):
        command = server.pool.submit(stream, result, "--speed=1", *through(orchestrator))
        eventually(lambda: (server.metric("byoc_frames_out_total") or 0) > 25, "frames")
        orchestrator.forget()
        assert "before the end of the clip" in only_line(command.result())
    assert result.exists()


def test_a_refusal_is_told_in_the_containers_words(container: Container, tmp_path: Path) -> None:
    line = only_line(stream(tmp_path / "out.mp4", *to_container(container), "--token=another"))
    assert "the container refuses: 401" in line
    assert "the bearer token is missing or wrong" in line
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("option", ["--url=http://127.0.0.1:9", "--orchestrator=https://[::1]:9"])
def test_nobody_is_there(option: str, tmp_path: Path) -> None:
    assert "can't be reached" in only_line(stream(tmp_path / "out.mp4", option))


def test_what_nobody_offers(
    known: Container, orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """A list of what there is instead, where orchestrators have one."""
    parser = ArgumentParser()
    add_options(parser)
    ((option, offered),) = vars(parser.parse_args([])).items()
    line = only_line(stream(tmp_path / "out.mp4", f"--{option}=other", *through(orchestrator)))
    assert "other" in line
    assert option == "capability" or line.endswith(offered)


def test_nobody_has_room_until_the_first_stream_is_stopped(
    known: Container, orchestrator: OrchestratorServer, tmp_path: Path, short: Path
) -> None:
    way = through(orchestrator)
    first = start(tmp_path / "out.ts", "--speed=0.2", *way)
    try:
        eventually(lambda: known.metric("byoc_sessions_active") == 1, "the first stream")
        line = only_line(stream(tmp_path / "other.ts", "--id=other", *way))
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=DEADLINE_SECONDS)
    finally:
        first.kill()
    assert "refuses: 503" in line
    assert (first.returncode, errors) == (1, "stopped\n")
    assert stream(tmp_path / "out.ts", *way, clip=short).returncode == 0


def test_the_control_channel_says_that_the_caller_is_there(
    known: Container, orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """Where containers end a stream without that word: capabilities (byoc/trickle.go)."""
    pytest.importorskip("emulator.job_header")
    command = known.pool.submit(stream, tmp_path / "out.ts", "--id=kept", *through(orchestrator))
    eventually(lambda: "kept-control" in orchestrator.trickle.channels, "control channel")
    eventually(lambda: orchestrator.trickle.segments("kept-control"), "a word")
    assert orchestrator.trickle.segments("kept-control") == [b'{"keep": "alive"}']
    assert command.result().returncode == 0
