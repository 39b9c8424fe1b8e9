"""Video is encoded by the GPU where that works, and the choice is told."""

from pathlib import Path

import pytest
from av import FFmpegError

from emulator.container import Container
from harness import refuse_to_start
from my_model.runtime.media.codec import try_encoder
from my_model.runtime.media.nvenc import H264_NVENC


def nvenc_works() -> bool:
    try:
        try_encoder(H264_NVENC)
    except (FFmpegError, ValueError):
        return False
    return True


def test_the_encoder_is_chosen_by_a_trial(server: Container) -> None:
    (chosen,) = server.events("video encoder chosen")
    assert chosen["encoder"] == ("h264_nvenc" if nvenc_works() else "libx264")
    assert nvenc_works() or chosen["trial_of_h264_nvenc"]


@pytest.mark.skipif(nvenc_works(), reason="the encoder works here")
def test_an_encoder_that_does_not_work_ends_the_start(tmp_path: Path) -> None:
    code, words = refuse_to_start(tmp_path, BYOC_VIDEO_ENCODER="h264_nvenc")
    assert code == 2
    assert words.count("\n") == 1
    assert "BYOC_VIDEO_ENCODER='h264_nvenc'" in words
