"""Tests your model in your container, with what sample.py says; nothing depends on the example."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from av.container import InputContainer

from emulator.container import (
    DEADLINE_SECONDS,
    Container,
    StartContainer,
    StartError,
    eventually,
    health_polls,
)
from sample import CLIP, PARAMS, WRONG

ENOUGH_FRAMES = 20
# How often the clip is sent while the model restarts: raise it if your model loads slowly.
LONG = 30
STREAM = {"X-Stream-Id": "quick-start"}


class Stream:
    """A stream of the clip through the container, sent by the emulator."""

    def __init__(
        self, container: Container, folder: Path, params: dict[str, Any], repeat: int
    ) -> None:
        self.result = folder / "out.ts"
        self._container = container
        self._output = folder / "output"
        url = f"http://127.0.0.1:{container.port}"
        options = ["--url", url, "--speed", "4", "--repeat", str(repeat)]
        options += ["--params", json.dumps(params)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "emulator.stream", CLIP, self.result, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, event: str = "") -> list[str]:
        """The lines that the program has printed so far: all, or those of one event."""
        return [line for line in self._output.read_text().splitlines() if line.startswith(event)]

    def wait_for(self, event: str) -> None:
        eventually(lambda: self.said(event) or self.process.poll() is not None, event)
        assert self.said(event), self.said()

    def wait_for_frames(self) -> None:
        before = frames(self._container, "out")
        eventually(lambda: frames(self._container, "out") >= before + ENOUGH_FRAMES, "frames out")

    def change(self, params: dict[str, Any]) -> httpx.Response:
        return self._container.jobs.post("/stream/params", json=params, headers=STREAM)

    def wait(self) -> int:
        """The program's exit code, once the stream has ended."""
        return self.process.wait(DEADLINE_SECONDS)


@contextmanager
def streaming(
    container: Container, folder: Path, params: dict[str, Any] = PARAMS, repeat: int = 1
) -> Iterator[Stream]:
    stream = Stream(container, folder, params, repeat)
    try:
        yield stream
        if container.process.poll() is None:
            container.jobs.post("/stream/stop", headers=STREAM)
            eventually(lambda: container.metric("byoc_sessions_active") == 0, "the session's end")
    finally:
        stream.process.kill()
        stream.wait()


def frames(container: Container, way: str) -> float:
    return container.metric(f"byoc_frames_{way}_total") or 0


def count_frames(video: Path) -> int:
    with av.open(str(video)) as container:
        assert isinstance(container, InputContainer)
        return sum(1 for _ in container.decode(video=0))


def test_the_sample_comes_back(container: Container, tmp_path: Path) -> None:
    """Every frame that was not dropped comes back, and the model has processed it."""
    before = {way: frames(container, way) for way in ("in", "out", "unprocessed")}
    with streaming(container, tmp_path) as stream:
        assert stream.wait() == 0, stream.said()
    passed = {way: frames(container, way) - count for way, count in before.items()}
    (event,) = container.events("session ended")[-1:]
    assert passed["in"] == count_frames(CLIP)
    assert passed["out"] == passed["in"] - sum(event["frames_dropped"].values())
    assert passed["out"] == count_frames(stream.result) > 0
    assert passed["unprocessed"] == 0, stream.said("error")
    assert not stream.said("error")


@pytest.fixture(scope="class")
def stream(container: Container, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """One stream for all tests of a class, because the container has one place."""
    with streaming(container, tmp_path_factory.mktemp("stream"), {}, repeat=LONG) as stream:
        stream.wait_for_frames()
        yield stream


class TestWhileItStreams:
    def test_parameters_change(self, stream: Stream) -> None:
        assert stream.change(PARAMS).status_code == 200
        stream.wait_for("params_updated")
        (line,) = stream.said("params_updated")
        assert json.loads(line.split(maxsplit=1)[1])["params"] == PARAMS

    @pytest.mark.skipif(WRONG is None, reason="sample.py says that the model refuses nothing")
    def test_wrong_parameters_are_refused(self, container: Container, stream: Stream) -> None:
        """The error names the field, and the stream goes on."""
        assert WRONG
        params, field = WRONG
        before = container.errors("bad_request")
        stream.change(params)
        stream.wait_for("error")
        stream.wait_for_frames()
        (line,) = stream.said("error")
        assert "bad_request" in line
        assert field in line
        assert container.errors("bad_request") == before + 1

    def test_a_crash_of_the_model_ends_no_stream(
        self, container: Container, stream: Stream
    ) -> None:
        before = container.errors("worker_crash")
        with health_polls(container):
            container.signal_model()
            stream.wait_for("recovered")
            stream.wait_for_frames()
        assert container.errors("worker_crash") == before + 1

    def test_a_second_session_is_refused(self, container: Container, stream: Stream) -> None:
        channel = {"subscribe_url": "http://127.0.0.1:9/input"}
        headers = {"X-Stream-Id": "another"}
        answer = container.jobs.post("/stream/start", json=channel, headers=headers)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0


def test_a_wrong_setting_is_told_in_one_line(start: StartContainer) -> None:
    with pytest.raises(StartError) as refusal, start(BYOC_CAPACITY="none"):
        pass
    assert refusal.value.exit_code == 2
    (line,) = refusal.value.log.splitlines()
    assert line.startswith("BYOC_CAPACITY='none': ")


def test_a_stop_loses_no_frame(container: Container, tmp_path: Path) -> None:
    """All accepted frames come out. The last test, because it ends the shared container."""
    with streaming(container, tmp_path, repeat=LONG) as stream:
        stream.wait_for_frames()
        container.process.terminate()
        stream.wait()
        assert container.wait_exit() == 0, container.log()
        (event,) = container.events("session ended")[-1:]
        dropped = sum(event["frames_dropped"].values())
        assert count_frames(stream.result) == event["frames_in"] - dropped
