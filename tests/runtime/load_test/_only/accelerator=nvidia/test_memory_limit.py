"""Load tests of a container whose model takes memory of a GPU for each session."""

from pathlib import Path

import pytest

import standin
from memory import MIB, MODEL, SESSION, take
from running import report, run_load_test, verdicts
from standin import Standin
from workload import PATIENT, sample

library, nvml = standin.library, standin.nvml

GPU = "GPU-aaaa-1111"
TOTAL, RESERVED, CAPACITY = 500 * MIB, 50 * MIB, 3


@pytest.mark.parametrize("version", [1, 2])
def test_no_more_is_recommended_than_fits(
    version: int, nvml: Standin, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 500 MiB the driver keeps 50, and a tenth of the rest is kept free: 405 are left.

    A driver that knows version 1 alone counts what it keeps as used: 400 are left of 450.
    """
    used = tmp_path / "used"
    monkeypatch.setenv("MODEL_MEMORY", str(used))
    take(0)
    lines = [f"gpu {GPU} @{used} {TOTAL}", f"reserved {GPU} {RESERVED}"]
    nvml(*lines, *(["fail nvmlDeviceGetMemoryInfo_v2 13"] if version == 1 else []))
    code, words = run_load_test(
        tmp_path / "load",
        sample(tmp_path),
        *PATIENT,
        "--set=BYOC_MODEL=workload:Hungry",
        f"--most={CAPACITY + 1}",
        LD_LIBRARY_PATH=str(library.parent),
    )
    assert code == 0, words
    found = report(tmp_path / "load")
    for level in found.levels:
        assert level.memory
        assert level.memory.source == ("NVML" if version == 2 else "NVML v1")
        assert level.memory.samples > 10
        kept = RESERVED if version == 1 else 0
        assert level.memory.idle_bytes == MODEL + kept
        assert level.memory.peak_bytes == MODEL + level.sessions * SESSION + kept
        assert level.memory.per_session_bytes == SESSION
        fits = TOTAL - RESERVED if version == 2 else TOTAL
        assert level.memory.fits_bytes == fits
        assert (level.verdict == "met") == (level.memory.peak_bytes <= 0.9 * fits)
    assert found.limit == "memory"
    assert found.memory_fit
    assert found.recommended == found.memory_fit.sessions == CAPACITY
    assert any("resolution" in advice for advice in found.advice)
    assert verdicts(tmp_path / "load")[-1][1:3] == (True, "met")
