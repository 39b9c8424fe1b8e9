"""Video is encoded by the processor, and nothing else is tried."""

from pathlib import Path

from emulator.container import Container
from harness import refuse_to_start


def test_there_is_one_encoder(server: Container) -> None:
    assert "nvenc" not in server.log()


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    code, words = refuse_to_start(tmp_path, BYOC_VIDEO_ENCODER="h264_nvenc")
    assert code == 2
    assert words.startswith("BYOC_VIDEO_ENCODER='h264_nvenc': must be auto or libx264")
    assert words.count("\n") == 1
