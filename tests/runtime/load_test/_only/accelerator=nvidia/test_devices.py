"""The memory of GPUs, as the real pynvml reads it from a stand-in for the driver's library."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from prometheus_client.samples import Sample

import standin
from emulator.container import DEADLINE_SECONDS, StartContainer, eventually
from load_test import devices
from load_test.devices import SAMPLES_A_LIST, TOTAL, USED, watch_memory
from load_test.memory import MemoryWatch
from load_test.scraper import Scrape, Scraper, watch_ops
from standin import Standin

library, nvml = standin.library, standin.nvml

A, B = "GPU-aaaa-1111", "GPU-bbbb-2222"
M, N = "MIG-cccc-3333", "MIG-dddd-4444"
MIG_GPU = (f"gpu {A} 900 1000 mig", f"mig {M} 10 500", f"mig {N} 20 400")
MIB = 2**20
CARD = f"gpu {A} {100 * MIB} {1000 * MIB}"
UNKNOWN = 2**30  # no process has this id


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    for name in ("START_SECONDS", "SILENCE_SECONDS"):
        monkeypatch.setattr(devices, name, DEADLINE_SECONDS)


def watching(
    *uuids: str, root: int | None = None, here: bool = True
) -> AbstractContextManager[MemoryWatch]:
    """Watch a container whose last metrics had these devices, with 100 of 1000 bytes each."""
    sizes = ((USED, 100.0), (TOTAL, 1000.0))
    told = [Sample(name, {"uuid": uuid}, size) for name, size in sizes for uuid in uuids]
    scraper = Scraper("http://nobody.invalid")
    scraper.scrapes += [Scrape(0, told), Scrape(1, [])]
    return watch_memory(scraper, root, here)


def last(watch: MemoryWatch) -> int:
    return watch.used(0, math.inf)[-1][1]


def go_on(watch: MemoryWatch) -> float:
    """Wait until the processes have been listed again; returns the time before that."""
    begin = time.monotonic()
    enough = SAMPLES_A_LIST + 1  # the last of them may still be at its list
    eventually(lambda: len(watch.used(begin, math.inf)) > enough, "samples")
    return begin


def trouble(watch: MemoryWatch, begin: float) -> str:
    return watch.trouble(begin, time.monotonic())


def test_what_the_driver_keeps_is_told_apart(nvml: Standin) -> None:
    nvml(f"gpu {A} 100 1000", f"reserved {A} 30")
    with watching(A) as watch:
        assert watch.source == "NVML"
        assert watch.device == f"NVIDIA Stand-in ({A})"
        assert watch.sizes == (1000, 30)
        assert last(watch) == 100
        nvml(f"gpu {A} 150 1000", f"reserved {A} 30")
        eventually(lambda: last(watch) == 150, "it has grown")


@pytest.mark.parametrize("code", [2, 3, 13])
def test_an_old_driver_counts_what_it_keeps_as_used(nvml: Standin, code: int) -> None:
    nvml(f"gpu {A} 100 1000", f"reserved {A} 30", f"fail nvmlDeviceGetMemoryInfo_v2 {code}")
    with watching(A) as watch:
        assert watch.source == "NVML v1"
        assert watch.sizes == (1000, None)
        assert last(watch) == 130
        assert watch.note.startswith("This driver counts the memory that it reserves as used.")


def test_a_mig_device_is_found_by_its_uuid(nvml: Standin) -> None:
    nvml(*MIG_GPU, f"fail nvmlDeviceGetName 3 {N}")
    with watching(N) as watch:
        assert watch.device == f"GPU ({N})"
        assert watch.sizes == (400, 0)
        assert last(watch) == 20


def test_devices_are_added_up(nvml: Standin) -> None:
    nvml(f"gpu {A} 100 1000", f"gpu {B} 200 2000", f"reserved {A} 30", f"reserved {B} 40")
    with watching(A, B) as watch:
        assert watch.device == f"NVIDIA Stand-in ({A}), NVIDIA Stand-in ({B})"
        assert watch.sizes == (3000, 70)
        assert last(watch) == 300


def test_ten_times_a_second(nvml: Standin) -> None:
    nvml(CARD)
    with watching(A) as watch:
        moments = [moment for moment, _ in eventually(lambda: twenty(watch), "20 samples")]
        assert moments[-1] - moments[0] >= 0.1 * (len(moments) - 1)
        assert watch.used(moments[3], moments[5]) == watch.used(0, math.inf)[3:6]
        assert trouble(watch, moments[0]) == ""


def twenty(watch: MemoryWatch) -> list[tuple[float, int]]:
    used = list(watch.used(0, math.inf))
    return used if len(used) >= 20 else []


@pytest.mark.parametrize(
    ("gone", "back"),
    [
        ([CARD, "epoch 1"], [CARD, "epoch 1"]),
        ([CARD, f"fail nvmlDeviceGetMemoryInfo_v2 15 {A}"], [CARD]),
        ([], [CARD]),
    ],
)
def test_a_device_that_vanishes_and_comes_back(
    nvml: Standin, gone: list[str], back: list[str]
) -> None:
    """The driver is started anew, the memory is not to be read, the device is not there."""
    nvml(CARD)
    with watching(A) as watch:
        begin = go_on(watch)
        assert trouble(watch, begin) == ""
        nvml(*gone)
        words = eventually(lambda: trouble(watch, begin), "trouble")
        assert words.startswith(f"the GPU could not be read: {A}: ")
        nvml(*back)
        begin = go_on(watch)
        assert trouble(watch, begin) == ""


def test_a_driver_that_hangs(nvml: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SILENCE_SECONDS", 0.5)
    nvml(CARD)
    with watching(A) as watch:
        begin, used = watch.used(0, math.inf)[-1]
        nvml(CARD, "hang nvmlDeviceGetMemoryInfo_v2")
        words = "the GPU could not be read: no answer for"
        eventually(lambda: trouble(watch, begin).startswith(words), "trouble")
        assert last(watch) == used


def test_a_driver_that_hangs_from_the_start(nvml: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "START_SECONDS", 0.2)
    nvml(CARD, "hang nvmlInitWithFlags")
    with watching(A) as watch:
        assert watch.source == "byoc_gpu_memory_bytes"
        assert "because the NVIDIA driver does not answer" in watch.note


@pytest.mark.parametrize(
    ("lines", "here", "words"),
    [
        ([CARD], False, "the container is not on this machine"),
        ([f"gpu {B} 100 1000"], True, f"{A}: Not Found"),
        ([CARD, "fail nvmlInitWithFlags 9"], True, "NVML: Driver Not Loaded"),
        ([f"{CARD} mig"], True, f"{A}: Insufficient Permissions"),
    ],
)
def test_without_nvml_the_metrics_tell(
    nvml: Standin, lines: list[str], here: bool, words: str
) -> None:
    nvml(*lines)
    with watching(A, B, here=here) as watch:
        assert watch.source == "byoc_gpu_memory_bytes"
        assert watch.device == f"{A}, {B}"
        assert watch.sizes == (2000, None)
        assert watch.used(0, math.inf) == [(0, 200)]
        assert watch.note == f"GPU memory is read from the container's metrics, because {words}."


def test_without_a_gpu_it_is_that_of_the_processes() -> None:
    with watching() as watch:
        assert watch.source == "resident"


@contextmanager
def processes() -> Iterator[tuple[int, int, int]]:
    """The container, a child of its child, and a neighbour."""
    family = "sh -c 'sh -c \"echo \\$\\$; read end\"; read end'"
    with (
        subprocess.Popen(
            family, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as root,
        subprocess.Popen("cat", stdin=subprocess.PIPE) as neighbour,
    ):
        assert root.stdout
        yield root.pid, int(root.stdout.readline()), neighbour.pid


def using(used: dict[int, int]) -> list[str]:
    """The card, and the processes that use so many MiB of it."""
    return [CARD, *(f"process {A} {pid} {size * MIB}" for pid, size in used.items())]


def test_what_the_containers_own_processes_do_is_no_trouble(nvml: Standin) -> None:
    with processes() as (root, child, neighbour):
        nvml(*using({neighbour: 50}))
        with watching(A, root=root) as watch:
            begin = go_on(watch)
            for used in ({root: 1, child: 1}, {child: 500}, {}):
                nvml(*using({neighbour: 50, **used}))
                go_on(watch)
            assert trouble(watch, begin) == ""
            assert watch.note == ""


def test_a_process_of_the_containers_that_has_ended_is_no_neighbour(nvml: Standin) -> None:
    """The driver may know of it for a while."""
    with processes() as (root, child, neighbour):
        nvml(*using({child: 50, neighbour: 50}))
        with watching(A, root=root) as watch:
            begin = go_on(watch)
            os.kill(child, signal.SIGKILL)
            eventually(lambda: not Path(f"/proc/{child}").exists(), "it is gone")
            nvml(*using({child: 100, neighbour: 50}))
            go_on(watch)
            assert trouble(watch, begin) == ""
            assert watch.note == ""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (50, 70, "varied from 50 to 70 MiB"),
        (None, 5, "varied from 0 to 5 MiB"),
        (5, None, "varied from 0 to 5 MiB"),
    ],
)
def test_a_neighbour_that_changes_is_trouble(
    nvml: Standin, before: int | None, after: int | None, words: str
) -> None:
    """It grows, comes or goes: at that time, and neither before nor later."""
    with processes() as (root, child, neighbour):
        used = [{child: 50} | ({neighbour: n} if n else {}) for n in (before, after)]
        nvml(*using(used[0]))
        with watching(A, root=root) as watch:
            begin = go_on(watch)
            assert trouble(watch, begin) == ""
            nvml(*using(used[1]))
            found = eventually(lambda: trouble(watch, begin), "trouble")
            assert found == f"another process on the GPU ({neighbour}) {words}"
            begin = go_on(watch)
            assert trouble(watch, begin) == ""


def test_a_neighbour_that_has_changed_since_level_0_is_trouble(nvml: Standin) -> None:
    """What was in use then is no measure any more."""
    with processes() as (root, child, neighbour):
        nvml(*using({child: 50, neighbour: 50}))
        with watching(A, root=root) as watch:
            watch.idle_at = go_on(watch)
            nvml(*using({child: 50, neighbour: 100}))
            go_on(watch)
            begin = go_on(watch)
            assert "varied from 50 to 100 MiB" in trouble(watch, begin)


def test_a_neighbour_that_changes_little_is_no_trouble(nvml: Standin) -> None:
    with processes() as (root, child, neighbour):
        nvml(*using({child: 50, neighbour: 50}))
        with watching(A, root=root) as watch:
            begin = go_on(watch)
            nvml(*using({child: 50, neighbour: 66}))
            go_on(watch)
            assert trouble(watch, begin) == ""


@pytest.mark.parametrize("others", [{}, {UNKNOWN: 50}])
def test_of_a_container_at_an_address_the_processes_are_not_known(
    nvml: Standin, others: dict[int, int]
) -> None:
    """Unless one alone uses the GPU."""
    nvml(*using({os.getpid(): 50, **others}))
    with watching(A) as watch:
        begin = go_on(watch)
        nvml(*using({os.getpid(): 500, **dict.fromkeys(others, 500)}))
        go_on(watch)
        assert trouble(watch, begin) == ""
        assert ("the memory of other processes counts" in watch.note) == bool(others)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [f"process {A} {os.getpid()} -1"],
        [f"process {A} 1 5", "fail nvmlDeviceGetComputeRunningProcesses_v3 3"],
        [f"process {A} 1 5", "fail nvmlDeviceGetComputeRunningProcesses_v3 4"],
        [f"process {A} {UNKNOWN} 5", f"process {A} {os.getpid()} 5"],
    ],
)
def test_processes_that_the_driver_does_not_tell(nvml: Standin, lines: list[str]) -> None:
    """None, or not what they use, or by ids that this machine does not know."""
    nvml(CARD, *lines)
    with watching(A, root=os.getpid()) as watch:
        begin = go_on(watch)
        nvml(CARD)
        go_on(watch)
        assert trouble(watch, begin) == ""
        assert "the memory of other processes counts as the container's" in watch.note


def test_a_container_whose_memory_grows(
    nvml: Standin, library: Path, start_server: StartContainer, tmp_path: Path
) -> None:
    """Both see it: the container, and the load test beside it."""
    sizes = tmp_path / "sizes"
    sizes.write_text("100\n")
    nvml(f"gpu {A} @{sizes} 1000", f"gpu {B} 200 2000")
    environment = {"LD_LIBRARY_PATH": str(library.parent), "CUDA_VISIBLE_DEVICES": "0"}
    with (
        start_server(**environment) as server,
        watch_ops(str(server.ops.base_url)) as scraper,
        watch_memory(scraper, server.process.pid, here=True) as watch,
    ):
        assert watch.device == f"NVIDIA Stand-in ({A})"
        assert last(watch) == 100
        with sizes.open("a") as file:
            file.write("50\n")
        eventually(lambda: last(watch) == 150, "it has grown")
        eventually(lambda: scraper.last.total(USED) == 150, "the container knows")
