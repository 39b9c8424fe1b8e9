"""More than the model can do: frames are lost and counted, time is not; and what encodes them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from emulator.container import Container, StartContainer
from emulator.trickle import TrickleServer
from harness import run_server
from streaming import Caller, bunny, frames, joined, sound, times

SMALL = (320, 180)
MAX_LATENCY_SECONDS = 0.5
MODEL_SECONDS = 0.1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("overload")
    with run_server(folder, BYOC_MAX_LATENCY_SECONDS=str(MAX_LATENCY_SECONDS)) as server:
        yield server


def test_frames_that_are_late_are_dropped(server: Container, trickle: TrickleServer) -> None:
    """The model takes 10 pictures a second of 25, and the oldest are given up."""
    went_in, came_out = (server.metric(f"byoc_frames_{way}_total") for way in ("in", "out"))
    assert went_in is not None
    assert came_out is not None
    clip = bunny(size=SMALL, frames=75)
    with Caller(server, trickle, "overload") as caller:
        caller.play(clip, params={"do": "wait", "seconds": MODEL_SECONDS}, speed=1)
        end = caller.stopped()
        late = end["frames_dropped"]["late"]
        given, got = times(frames(joined(clip))), times(frames(caller.output()))
        assert caller.events("error") == []
        assert sound(caller.output()) == sound(joined(clip))
    assert late > 20
    assert end["frames_in"] == len(given) == end["frames_out"] + late
    assert end["frames_out"] == len(got)
    assert server.metric("byoc_frames_dropped_total", reason="late") == late
    assert server.metric("byoc_frames_in_total") == went_in + len(given)
    assert server.metric("byoc_frames_out_total") == came_out + len(got)
    # What is shown stays fresh to the end.
    assert set(got) < set(given)
    assert all(earlier < later for earlier, later in pairwise(got))
    assert got[-1] == given[-1]
    assert end["latency_p99_ms"] < 3000 * (MAX_LATENCY_SECONDS + MODEL_SECONDS)


def test_a_burst_is_no_overload(server: Container, trickle: TrickleServer) -> None:
    clip = bunny(size=SMALL, frames=75)
    with Caller(server, trickle, "burst") as caller:
        caller.play(clip, speed=20)
        assert times(frames(caller.output())) == times(frames(joined(clip)))
        assert caller.stopped()["frames_dropped"] == {}


def test_pictures_that_the_model_fails_on_pass(server: Container, trickle: TrickleServer) -> None:
    clip = bunny(size=SMALL, frames=25)
    with Caller(server, trickle, "pass") as caller:
        caller.play(clip, params={"do": "fail"})
        end = caller.stopped()
        assert caller.events("error")[0]["error"]["type"] == "model_error"
        given, got = frames(joined(clip)), frames(caller.output())
    assert times(got) == times(given)
    one, other = (picture[0].to_ndarray(format="rgb24") for picture in (given, got))
    assert np.abs(one - other.astype(float)).mean() < 6
    assert (end["frames_out"], end["frames_unprocessed"]) == (25, 25)
    assert end["frames_dropped"] == {}
    assert server.metric("byoc_frames_unprocessed_total") == 25
    assert server.errors("model_error") == 25


def test_pictures_that_the_model_fails_on_are_dropped(
    start_server: StartContainer, trickle: TrickleServer
) -> None:
    clip = bunny(size=SMALL, frames=25)
    settings = {"BYOC_UNPROCESSED_FRAMES": "drop", "BYOC_VIDEO_ENCODER": "libx264"}
    with start_server(**settings) as server, Caller(server, trickle, "drop") as caller:
        caller.open({"do": "fail"})
        caller.publish(clip, speed=10).result()
        caller.finish()
        end = caller.stopped()
        assert caller.output() == b""
        assert (end["frames_in"], end["frames_out"], end["frames_unprocessed"]) == (25, 0, 0)
        assert end["frames_dropped"] == {"failed": 25}
        assert server.metric("byoc_frames_dropped_total", reason="failed") == 25
        assert server.errors("model_error") == 25
        # It was asked for, so that nothing was tried.
        assert server.events("video encoder chosen") == []
