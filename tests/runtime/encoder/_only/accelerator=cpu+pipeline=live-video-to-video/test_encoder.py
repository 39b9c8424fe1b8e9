"""Video is encoded by the processor, and nothing else is tried."""

from pathlib import Path

from emulator.container import Container
from harness import refuse_to_start
from my_model.encoders import OPTIONS


def test_there_is_one_encoder(server: Container) -> None:
    assert [*OPTIONS] == ["libx264"]
    assert "nvenc" not in server.log()


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    code, words = refuse_to_start(tmp_path, BYOC_VIDEO_ENCODER="h264_nvenc")
    assert code == 2
    assert words == "BYOC_VIDEO_ENCODER='h264_nvenc': Input should be 'auto' or 'libx264'\n"
