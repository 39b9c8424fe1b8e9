"""What orchestrators are told of the GPU, on the stand-in for the driver's library."""

from pathlib import Path
from typing import Any

import standin
from heartbeats import heartbeats, registered
from orchestrator.server import run_orchestrator
from registering import SECRET, run_registering
from standin import Standin

library, nvml = standin.library, standin.nvml

UUID = "GPU-aaaa-1111"
GPU = f"gpu {UUID} 100000000 25769803776"

SAID: list[tuple[list[str], dict[str, Any] | None]] = [
    ([GPU], {"id": "0", "name": "NVIDIA Stand-in", "vram_mb": 24576}),
    ([], None),
    ([GPU, "fail nvmlInitWithFlags 999"], None),
    ([GPU, "hang nvmlDeviceGetName"], None),
]


def test_the_gpu_is_told(tmp_path: Path, nvml: Standin, library: Path) -> None:
    """With each registration; nothing where there is none, or the driver does not say."""
    with (
        run_orchestrator(secret=SECRET, heartbeat_seconds=0.5, onchain=True) as orchestrator,
        run_registering(tmp_path, orchestrator.url, LD_LIBRARY_PATH=str(library.parent)),
    ):
        for lines, gpu in SAID:
            runner = registered(orchestrator)
            nvml(*lines)
            orchestrator.forget()
            runner = registered(orchestrator, runner)
            assert runner.spec["gpu"] == gpu
            assert ("gpu" in heartbeats(orchestrator)[-1].body) == (gpu is not None)
