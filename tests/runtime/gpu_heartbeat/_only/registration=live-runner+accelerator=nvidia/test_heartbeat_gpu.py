"""What orchestrators are told of the GPU, on the stand-in for the driver's library."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from announced import SECRET, run_announced
from heartbeats import heartbeats, registered
from orchestrator.server import run_orchestrator

UUID = "GPU-aaaa-1111"
DRIVER = "driver 580.65.06"
GPU = f"gpu {UUID} 100000000 25769803776"


@pytest.fixture
def driver(tmp_path: Path) -> dict[str, Any]:
    """The variables of a server that finds the stand-in, which does what the file says."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler named cc")
    library, says = tmp_path / "libnvidia-ml.so.1", tmp_path / "nvml"
    source = Path(__file__).with_name("nvml_standin.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {
        "LD_LIBRARY_PATH": str(tmp_path),
        "NVML_STANDIN": str(says),
        "CUDA_VISIBLE_DEVICES": "0",
        "NVIDIA_VISIBLE_DEVICES": "all",
    }


SAID: list[tuple[list[str], dict[str, Any] | None]] = [
    ([GPU], {"id": "0", "name": "NVIDIA Stand-in", "vram_mb": 24576}),
    ([], None),
    ([GPU, "fail nvmlInitWithFlags 999"], None),
    ([GPU, "hang nvmlDeviceGetName"], None),
]


def test_the_gpu_is_told(tmp_path: Path, driver: dict[str, Any]) -> None:
    """With each registration; nothing where there is none, or the driver does not say."""
    said = Path(driver["NVML_STANDIN"])
    said.write_text(DRIVER)
    with (
        run_orchestrator(secret=SECRET, heartbeat_seconds=0.5, onchain=True) as orchestrator,
        run_announced(tmp_path, orchestrator.url, **driver),
    ):
        for lines, gpu in SAID:
            runner = registered(orchestrator)
            draft = said.with_suffix(".draft")
            draft.write_text("\n".join((DRIVER, *lines)))
            draft.rename(said)
            orchestrator.forget()
            runner = registered(orchestrator, runner)
            assert runner.spec["gpu"] == gpu
            assert ("gpu" in heartbeats(orchestrator)[-1].body) == (gpu is not None)
