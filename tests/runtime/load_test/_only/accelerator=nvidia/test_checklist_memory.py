"""The checklist on a GPU: what each session takes, times the capacity, against the card."""

from pathlib import Path

import pytest

import standin
from breaking import read_report, run_checklist
from memory import MIB, take
from standin import Standin
from workload import sample

library, nvml = standin.library, standin.nvml

GPU = "GPU-aaaa-1111"
# The driver keeps 50 MiB, and a tenth of the rest is kept free: the model and three sessions fit.
TOTAL, RESERVED, FITTING = 500 * MIB, 50 * MIB, 3


@pytest.mark.parametrize(("capacity", "verdict"), [(FITTING, "passed"), (FITTING + 1, "failed")])
def test_a_capacity_above_the_card_fails(
    capacity: int,
    verdict: str,
    nvml: Standin,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = tmp_path / "used"
    monkeypatch.setenv("MODEL_MEMORY", str(used))
    take(0)
    nvml(f"gpu {GPU} @{used} {TOTAL}", f"reserved {GPU} {RESERVED}")
    _, words = run_checklist(
        tmp_path / "report",
        sample(tmp_path),
        "--only=memory",
        "--set=BYOC_MODEL=workload:Hungry",
        f"--capacity={capacity}",
        LD_LIBRARY_PATH=str(library.parent),
    )
    found = {finding.id: finding for finding in read_report(tmp_path / "report").items}
    fits = found["memory-fits"]
    assert fits.verdict == verdict, words
    assert f"100 MiB when idle and {capacity} times 100 MiB are" in fits.words
    assert "of the 450 MiB available; 10 % is kept free" in fits.words
    measured = {"passed": "passed", "failed": "blocked"}[verdict]
    assert found["capacity-measured"].verdict == measured, words
