"""The real pynvml, on a stand-in for the driver's library that the tests compile.

Each test says what the stand-in answers; nvml_standin.c tells the words for it.
"""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pynvml
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

import standin
from emulator.container import StartContainer, eventually
from harness import refuse_to_start
from my_model.runtime.ops import nvidia
from my_model.runtime.ops.gpu import GpuUnavailableError
from standin import Standin, nvml_threads

library, nvml = standin.library, standin.nvml

A, B = "GPU-aaaa-1111", "GPU-bbbb-2222"
M, N = "MIG-cccc-3333", "MIG-dddd-4444"

ONE_GPU = (f"gpu {A} 100 1000",)
TWO_GPUS = (f"gpu {A} 100 1000", f"gpu {B} 200 2000")
MIG_GPU = (f"gpu {A} 900 1000 mig", f"mig {M} 10 500 MIG-{A}/1/0", f"mig {N} 20 400 MIG-{A}/2/0")

FAILED_MEMORY = f"fail nvmlDeviceGetMemoryInfo %d {A}"


class Scraper:
    """Scrapes an NvidiaGpu and keeps count of its errors."""

    def __init__(self, environ: dict[str, str] | None = None, read_seconds: float = 10) -> None:
        self.errors = 0
        self.gpu = nvidia.NvidiaGpu(
            on_error=self._count, environ=environ or {}, read_seconds=read_seconds
        )
        self.registry = CollectorRegistry()
        self.registry.register(self.gpu)

    def _count(self) -> None:
        self.errors += 1

    def scrape(self) -> dict[str, tuple[str, float, float]]:
        """Number, used and total by UUID."""
        asyncio.run(self.gpu.refresh())
        return self.samples()

    def samples(self) -> dict[str, tuple[str, float, float]]:
        text = generate_latest(self.registry).decode()
        used, total = text_string_to_metric_families(text)
        assert (used.name, total.name) == ("byoc_gpu_memory_bytes", "byoc_gpu_memory_total_bytes")
        return {
            sample.labels["uuid"]: (sample.labels["gpu"], sample.value, whole.value)
            for sample, whole in zip(used.samples, total.samples, strict=True)
        }


def test_without_a_gpu_the_families_have_no_samples(nvml: Standin) -> None:
    scraper = Scraper()
    assert scraper.scrape() == {}
    assert scraper.errors == 0


def test_each_gpu_has_its_figures_anew_at_each_scrape(nvml: Standin) -> None:
    scraper = Scraper()
    nvml(*ONE_GPU)
    assert scraper.samples() == {}
    assert scraper.scrape() == {A: ("0", 100, 1000)}
    nvml(f"gpu {A} 101 1000", f"gpu {B} 200 2000")
    assert scraper.scrape() == {A: ("0", 101, 1000)}
    assert Scraper().scrape() == {A: ("0", 101, 1000), B: ("1", 200, 2000)}
    assert scraper.errors == 0


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("0", [A]),
        ("1", [B]),
        ("1, 0", [A, B]),
        ("0,0", [A]),
        (A, [A]),
        ("GPU-b", [B]),
        ("GPU-", []),
        (f"{B},{A}", [A, B]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [A]),
        ("2,0", []),
        ("1,GPU-ffff,0", [B]),
        ("MIG-ffff", []),
    ],
)
def test_cuda_visible_devices(nvml: Standin, value: str, visible: list[str]) -> None:
    nvml(*TWO_GPUS)
    assert list(Scraper({"CUDA_VISIBLE_DEVICES": value}).scrape()) == visible


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("all", [A, B]),
        ("void", [A, B]),
        ("", [A, B]),
        ("none", []),
        ("1", [B]),
        ("0,1", [A, B]),
        ("5,7", [A, B]),
        ("GPU-bbbb", [B]),
        (f"{A},GPU-ffff", [A]),
        ("GPU-ffff", []),
        ("nvidia.com/gpu=0", [A, B]),
        ("/var/run/nvidia-container-devices", [A, B]),
    ],
)
def test_nvidia_visible_devices(nvml: Standin, value: str, visible: list[str]) -> None:
    nvml(*TWO_GPUS)
    assert list(Scraper({"NVIDIA_VISIBLE_DEVICES": value}).scrape()) == visible


@pytest.mark.parametrize(
    ("variable", "value", "visible"),
    [
        ("CUDA_VISIBLE_DEVICES", "0", [M, N]),
        ("CUDA_VISIBLE_DEVICES", "1", [B]),
        ("CUDA_VISIBLE_DEVICES", N, [N]),
        ("CUDA_VISIBLE_DEVICES", f"MIG-{A}/2/0", [N]),
        ("CUDA_VISIBLE_DEVICES", f"MIG-{A}/3/0", []),
        ("CUDA_VISIBLE_DEVICES", A, [M, N]),
        ("NVIDIA_VISIBLE_DEVICES", "0:1", [N]),
        ("NVIDIA_VISIBLE_DEVICES", "0:0,1", [M, B]),
        ("NVIDIA_VISIBLE_DEVICES", "3:0,3:1,4:0", [M, N, B]),
        ("NVIDIA_VISIBLE_DEVICES", "0", [M, N]),
        ("NVIDIA_VISIBLE_DEVICES", M, [M]),
        ("NVIDIA_VISIBLE_DEVICES", f"MIG-{A}/1/0", [M]),
    ],
)
def test_mig_devices_are_chosen_by_name_and_number(
    nvml: Standin, variable: str, value: str, visible: list[str]
) -> None:
    nvml(*MIG_GPU, f"gpu {B} 200 2000")
    scraper = Scraper({variable: value})
    assert list(scraper.scrape()) == visible
    assert scraper.errors == 0


def test_both_variables_hide_devices(nvml: Standin) -> None:
    nvml(*TWO_GPUS)
    scraper = Scraper({"NVIDIA_VISIBLE_DEVICES": A, "CUDA_VISIBLE_DEVICES": "1"})
    assert scraper.scrape() == {}


def test_mig_devices_stand_for_their_gpu(nvml: Standin) -> None:
    nvml(*MIG_GPU, f"gpu {B} 200 2000")
    scraper = Scraper()
    assert scraper.scrape() == {M: ("0:0", 10, 500), N: ("0:1", 20, 400), B: ("1", 200, 2000)}
    assert scraper.errors == 0


def test_a_driver_that_knows_nothing_of_mig(nvml: Standin) -> None:
    nvml(*ONE_GPU, "fail nvmlDeviceGetMaxMigDeviceCount 13")
    assert list(Scraper().scrape()) == [A]


def test_mig_devices_of_others_are_passed_over(nvml: Standin) -> None:
    nvml(*MIG_GPU, f"fail nvmlDeviceGetMigDeviceHandleByIndex 4 {M}")
    scraper = Scraper()
    assert scraper.scrape() == {N: ("0:1", 20, 400)}
    assert scraper.errors == 0


def test_mig_without_permission_is_an_error(nvml: Standin) -> None:
    nvml(*MIG_GPU, f"gpu {B} 200 2000", f"fail nvmlDeviceGetMigDeviceHandleByIndex 4 {A}")
    scraper = Scraper()
    with capture_logs() as logs:
        assert scraper.scrape() == scraper.scrape() == {B: ("1", 200, 2000)}
    assert scraper.errors == 1
    assert [(log["device"], log["error"]) for log in logs] == [(A, "Insufficient Permissions")]


@pytest.mark.parametrize("call", ["HandleByUUID", "MemoryInfo"])
@pytest.mark.parametrize("code", [3, 4, 6, 15, 27, 999])
def test_a_fault_hides_one_device_and_counts_once(nvml: Standin, call: str, code: int) -> None:
    scraper = Scraper()
    nvml(*TWO_GPUS)
    scraper.scrape()
    for round_ in (1, 2):
        with capture_logs() as logs:
            nvml(*TWO_GPUS, f"fail nvmlDeviceGet{call} {code} {A}")
            assert scraper.scrape() == scraper.scrape() == {B: ("1", 200, 2000)}
            assert scraper.errors == round_
            nvml(*TWO_GPUS)
            assert list(scraper.scrape()) == [A, B]
        assert [(log["event"], log["device"]) for log in logs] == [
            ("gpu memory unknown", A),
            ("gpu memory known again", A),
        ]


def test_a_mig_device_that_fails_hides_no_other(nvml: Standin) -> None:
    scraper = Scraper()
    nvml(*MIG_GPU, f"fail nvmlDeviceGetMigDeviceHandleByIndex 999 {M}")
    assert scraper.scrape() == scraper.scrape() == {N: ("0:1", 20, 400)}
    assert scraper.errors == 1
    nvml(*MIG_GPU)
    assert list(scraper.scrape()) == [M, N]


@pytest.mark.parametrize("figures", ["0 0", f"{2**64 - 1} 1000", f"{2**64 - 1} {2**64 - 2}"])
def test_memory_that_the_driver_does_not_know_has_no_sample(nvml: Standin, figures: str) -> None:
    nvml(f"gpu {A} {figures}")
    scraper = Scraper()
    assert scraper.scrape() == scraper.scrape() == {}
    assert scraper.errors == 1


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2"])
@pytest.mark.parametrize("code", [9, 18, 999])
def test_a_driver_that_fails_counts_once(nvml: Standin, call: str, code: int) -> None:
    scraper = Scraper()
    nvml(*ONE_GPU, f"fail {call} {code}")
    with capture_logs() as logs:
        assert scraper.scrape() == scraper.scrape() == {}
    reason = str(pynvml.NVMLError(code))
    assert [(log["device"], log["error"]) for log in logs] == [("driver", reason)]
    assert scraper.errors == 1
    nvml(*ONE_GPU)
    assert list(scraper.scrape()) == [A]


@pytest.mark.parametrize("before", [(), ONE_GPU])
def test_a_driver_that_was_lost_is_initialized_again(
    nvml: Standin, before: tuple[str, ...]
) -> None:
    scraper = Scraper()
    nvml(*before)
    scraper.scrape()
    nvml(*ONE_GPU, "epoch 1")
    assert scraper.scrape() == {}
    assert scraper.scrape() == {A: ("0", 100, 1000)}
    assert scraper.errors == 1


def test_a_gpu_without_memory_figures_does_not_cost_the_session(nvml: Standin) -> None:
    scraper = Scraper()
    nvml(*TWO_GPUS, FAILED_MEMORY % 3)
    scraper.scrape()
    nvml(*TWO_GPUS, FAILED_MEMORY % 3, "epoch 1")
    assert scraper.scrape() == {}  # the session is still that of epoch 0
    assert scraper.errors == 2


def test_a_driver_fault_does_not_end_that_of_a_device(nvml: Standin) -> None:
    scraper = Scraper()
    nvml(*TWO_GPUS, FAILED_MEMORY % 3)
    scraper.scrape()
    nvml(*TWO_GPUS, FAILED_MEMORY % 999, "epoch 1", "fail nvmlInitWithFlags 999")
    scraper.scrape()
    scraper.scrape()
    errors = scraper.errors
    nvml(*TWO_GPUS, FAILED_MEMORY % 3)
    assert scraper.scrape() == {B: ("1", 200, 2000)}
    assert scraper.errors == errors


@pytest.mark.parametrize("environ", [{}, {"CUDA_VISIBLE_DEVICES": f"{A},{B}"}])
def test_a_gpu_that_vanishes_and_comes_back(nvml: Standin, environ: dict[str, str]) -> None:
    scraper = Scraper(environ)
    nvml(*TWO_GPUS)
    scraper.scrape()
    nvml(TWO_GPUS[1])
    assert scraper.scrape() == scraper.scrape() == {B: ("1", 200, 2000)}
    assert scraper.errors == 1
    nvml(*TWO_GPUS)
    assert list(scraper.scrape()) == [A, B]
    assert scraper.errors == 1


@pytest.mark.parametrize("environ", [{}, {"CUDA_VISIBLE_DEVICES": f"{A},{B}"}])
def test_a_gpu_that_is_lost_from_the_start(nvml: Standin, environ: dict[str, str]) -> None:
    scraper = Scraper(environ)
    nvml(*TWO_GPUS, f"fail nvmlDeviceGetHandleByIndex_v2 15 {A}")
    assert scraper.scrape() == scraper.scrape() == {B: ("1", 200, 2000)}
    assert scraper.errors == 1
    nvml(*TWO_GPUS)
    assert list(scraper.scrape()) == [A, B]


def test_a_gpu_that_is_hidden_is_no_fault(nvml: Standin) -> None:
    nvml(*TWO_GPUS, f"fail nvmlDeviceGetHandleByIndex_v2 15 {A}", FAILED_MEMORY % 15)
    scraper = Scraper({"CUDA_VISIBLE_DEVICES": "1"})
    assert scraper.scrape() == {B: ("1", 200, 2000)}
    assert scraper.errors == 0


def test_a_neighbours_gpu_is_passed_over(nvml: Standin) -> None:
    refused = "fail nvmlDeviceGetHandleByIndex_v2 4"
    nvml(*TWO_GPUS, f"{refused} {A}")
    scraper = Scraper({"CUDA_VISIBLE_DEVICES": "0"})
    assert scraper.scrape() == {B: ("0", 200, 2000)}
    assert scraper.errors == 0
    nvml(*TWO_GPUS, refused)
    scraper = Scraper()
    assert scraper.scrape() == scraper.scrape() == {}
    assert scraper.errors == 1


def test_a_call_that_hangs_costs_the_scrapes_their_samples_and_nothing_else(
    nvml: Standin,
) -> None:
    """1. Two scrapes meet a call that hangs: both end in time, without samples.
    2. The next one does not wait, nor start another thread.
    3. The call ends: its answer is late and not used; the next scrape reads again.
    """
    scraper = Scraper(read_seconds=0.2)
    nvml(*ONE_GPU)
    scraper.scrape()
    nvml(*ONE_GPU, "hang nvmlDeviceGetMemoryInfo")

    async def scrape_together() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async with asyncio.timeout(5):
            ticker = asyncio.create_task(tick())
            await asyncio.gather(scraper.gpu.refresh(), scraper.gpu.refresh())
            ticker.cancel()
        return ticks

    async def scrape_at_once() -> None:
        with pytest.raises(StopIteration):  # the end of a coroutine that waits for nothing
            scraper.gpu.refresh().send(None)

    with capture_logs() as logs:
        assert asyncio.run(scrape_together()) > 1
        assert scraper.samples() == {}
        asyncio.run(scrape_at_once())
        assert scraper.samples() == {}
    assert len(nvml_threads()) == 1
    assert scraper.errors == len(logs) == 1

    nvml(f"gpu {A} 111 1000")
    eventually(lambda: not nvml_threads(), "NVML's thread has ended")
    nvml(f"gpu {A} 222 1000")
    assert scraper.samples() == {}
    assert scraper.scrape() == {A: ("0", 222, 1000)}


def test_scrapes_at_the_same_time_share_one_reading(nvml: Standin) -> None:
    scraper = Scraper()
    nvml(*ONE_GPU, "hang nvmlDeviceGetMemoryInfo")

    async def scrape_together() -> None:
        scrapes = [asyncio.create_task(scraper.gpu.refresh()) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(nvml_threads()) == 1
        scrapes.pop().cancel()
        nvml(*ONE_GPU)
        await asyncio.gather(*scrapes)

    asyncio.run(scrape_together())
    assert scraper.samples() == {A: ("0", 100, 1000)}
    assert scraper.errors == 0


def test_a_scrape_that_gets_no_thread_has_no_samples(nvml: Standin) -> None:
    scraper = Scraper()
    nvml(*ONE_GPU)
    size = threading.stack_size(1024**5)  # more than there is to be had
    try:
        assert scraper.scrape() == scraper.scrape() == {}
    finally:
        threading.stack_size(size)
    assert scraper.errors == 1
    assert list(scraper.scrape()) == [A]


@pytest.mark.parametrize(
    ("lines", "environ", "words"),
    [
        (["fail nvmlInitWithFlags 9"], {}, "no working NVIDIA driver: Driver Not Loaded"),
        (["fail nvmlSystemGetDriverVersion 999"], {}, "driver fails: Unknown Error"),
        ([], {}, "shows it no GPU"),
        (ONE_GPU, {"CUDA_VISIBLE_DEVICES": "1"}, "no GPU CUDA_VISIBLE_DEVICES='1'"),
        ([*ONE_GPU, FAILED_MEMORY % 15], {}, f"no GPU works: {A}: GPU is lost"),
        (["gpu A 1 2 mig"], {}, "no GPU works: A: Insufficient Permissions"),
        ([*ONE_GPU, "driver 525.60.11"], {}, "found 525.60.11, needed 525.60.13 or newer"),
        ([*ONE_GPU, "driver 99.100"], {}, "found 99.100, needed 525.60.13 or newer"),
    ],
)
def test_a_required_gpu_that_is_missing(
    nvml: Standin, lines: list[str], environ: dict[str, str], words: str
) -> None:
    nvml(*lines)
    with pytest.raises(GpuUnavailableError) as caught:
        nvidia.NvidiaGpu.require(environ)
    assert str(caught.value).startswith("BYOC_REQUIRE_GPU is set, but ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        ONE_GPU,
        MIG_GPU,
        [*ONE_GPU, "driver 525.60.13"],
        [*ONE_GPU, FAILED_MEMORY % 3],
        [*TWO_GPUS, FAILED_MEMORY % 15],
    ],
)
def test_a_required_gpu_that_is_there(nvml: Standin, lines: list[str]) -> None:
    nvml(*lines)
    nvidia.NvidiaGpu.require({})
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlShutdown()


def test_a_required_gpu_whose_driver_hangs(nvml: Standin) -> None:
    nvml(*ONE_GPU, "hang nvmlInitWithFlags")
    with pytest.raises(GpuUnavailableError, match=r"no answer within 0\.1 s"):
        nvidia.NvidiaGpu.require({}, start_seconds=0.1)


SCRIPT = f"""
import asyncio
from {nvidia.__name__} import *

asyncio.run(NvidiaGpu(on_error=lambda: print("counted"), read_seconds=0.1).refresh())
try:
    NvidiaGpu.require({{}}, start_seconds=0.1)
except GpuUnavailableError as error:
    print(error)
"""


def run_script(library: Path) -> str:
    """What the script prints in a process of its own, that ends by itself."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "LD_LIBRARY_PATH": str(library.parent)},
        stdout=subprocess.PIPE,
        timeout=20,
        check=True,
        text=True,
    ).stdout


def test_calls_that_hang_do_not_hold_up_the_end(nvml: Standin, library: Path) -> None:
    nvml("hang nvmlInitWithFlags")
    output = run_script(library)
    assert "counted" in output
    assert "no answer within 0.1 s" in output


def test_without_a_driver(tmp_path: Path) -> None:
    library = tmp_path / "libnvidia-ml.so.1"
    library.touch()  # hides the driver of the machine that runs the tests
    output = run_script(library)
    assert "counted" in output
    assert "no working NVIDIA driver: NVML Shared Library Not Found" in output


def test_the_server_serves_and_stops_whatever_the_driver_does(
    nvml: Standin, library: Path, start_server: StartContainer
) -> None:
    """1. Two GPUs: the one that is visible is in the metrics.
    2. The driver hangs: it is missing there, and counted; the server is healthy.
    3. The driver still hangs: the server ends as asked.
    """
    nvml(*TWO_GPUS)
    environment = {"LD_LIBRARY_PATH": str(library.parent), "CUDA_VISIBLE_DEVICES": "1"}
    with start_server(BYOC_REQUIRE_GPU="1", **environment) as server:
        assert server.metric("byoc_gpu_memory_bytes", uuid=A) is None
        assert server.metric("byoc_gpu_memory_bytes", uuid=B, gpu="1") == 200
        assert server.metric("byoc_gpu_memory_total_bytes", uuid=B, gpu="1") == 2000
        assert server.errors("nvml") == 0

        nvml(*TWO_GPUS, "hang nvmlDeviceGetHandleByUUID")
        assert server.errors("nvml") == 1
        assert server.metric("byoc_gpu_memory_bytes") is None
        assert server.ops.get("/health").status_code == 200
        assert len(server.events("gpu memory unknown")) == 1

        assert server.stop() == 0


@pytest.mark.parametrize(
    ("lines", "words"), [([], "shows it no GPU"), ([*ONE_GPU, "driver 470.1"], "found 470.1,")]
)
def test_the_server_does_not_start_without_the_gpu_it_requires(
    nvml: Standin, library: Path, tmp_path: Path, lines: list[str], words: str
) -> None:
    nvml(*lines)
    code, message = refuse_to_start(
        tmp_path, BYOC_REQUIRE_GPU="1", LD_LIBRARY_PATH=str(library.parent)
    )
    assert code == 2
    assert words in message
    assert message.count("\n") == 1
