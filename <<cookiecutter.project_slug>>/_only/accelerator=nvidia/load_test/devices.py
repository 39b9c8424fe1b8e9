"""Watches the memory of the container's GPUs, read from the driver on this machine."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pynvml

from .memory import MemoryWatch, Samples, resident, scraped
from .scraper import Scraper, repeating

GPU = True
USED: Final = "byoc_gpu_memory_bytes"
TOTAL = "byoc_gpu_memory_total_bytes"
START_SECONDS = 30.0  # without the persistence daemon the driver first starts every GPU
SAMPLE_SECONDS = 0.1
SAMPLES_A_LIST = 5  # the processes are listed less often, because that takes longer
SILENCE_SECONDS = 1.0
CHANGE_BYTES = 16 * 2**20

V1 = "This driver counts the memory that it reserves as used."
MIXED = (
    "The driver does not say which processes on the GPU are the container's, or how much each "
    "uses: the memory of other processes counts as the container's."
)


@contextmanager
def watch_memory(scraper: Scraper, root: int | None, here: bool) -> Iterator[MemoryWatch]:
    """`root` is the process id of the container, `here` says whether it runs on this machine."""
    told = [scrape for scrape in scraper.scrapes if scrape.total(USED) is not None]
    if not told:
        yield resident(scraper, here)
        return
    uuids = sorted(told[-1].by(USED, "uuid"))
    obstacle = "the container is not on this machine"
    if here:
        devices = Devices(uuids, root)
        with repeating("nvml", devices.look, SAMPLE_SECONDS):
            answers = devices.answered.wait(START_SECONDS)
            obstacle = devices.looks[0].fault if answers else "the NVIDIA driver does not answer"
            if not obstacle:
                yield devices
                return
    sizes = (int(told[-1].total(TOTAL) or 0) or None, None)
    note = f"GPU memory is read from the container's metrics, because {obstacle}."
    yield MemoryWatch(USED, ", ".join(uuids), sizes, note, partial(scraped, scraper, (USED,)))


class Look(NamedTuple):
    """The bytes in use, in all and by device and process id; or why they are not known."""

    moment: float
    used: int
    processes: dict[tuple[str, int], int]
    fault: str


class Devices(MemoryWatch):
    """These GPUs. A process that uses them and does not descend from `root` is a neighbour."""

    def __init__(self, uuids: list[str], root: int | None) -> None:
        super().__init__("NVML", "", (None, None), "", self._used, self._trouble)
        self.looks: list[Look] = []
        self.answered = threading.Event()
        self._uuids = uuids
        self._root = root
        self._asked = "NVML"
        self._told = False
        self._ours: dict[int, bool | None] = {}
        self._processes: dict[tuple[str, int], int] = {}

    def look(self) -> None:
        """After a fault NVML is started again, because it does not notice a driver that is back."""
        moment, used, fault = time.monotonic(), 0, ""
        self._asked = "NVML"
        try:
            if not self.looks or self.looks[-1].fault:
                pynvml.nvmlInit()
            if not self.looks:
                self._describe()
            used = sum(each.used for each in self._read())
            if len(self.looks) % SAMPLES_A_LIST == 0:
                self._list()
        except pynvml.NVMLError as error:
            fault = f"{self._asked}: {error}"
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        self.looks.append(Look(moment, used, self._processes, fault))
        self.answered.set()

    def _handles(self) -> Iterator[Any]:
        for uuid in self._uuids:
            self._asked = uuid
            yield pynvml.nvmlDeviceGetHandleByUUID(uuid)

    def _read(self) -> list[Any]:
        version = pynvml.nvmlMemory_v2 if self.source == "NVML" else None
        return [pynvml.nvmlDeviceGetMemoryInfo(handle, version) for handle in self._handles()]

    def _describe(self) -> None:
        try:
            read = self._read()
        except pynvml.NVMLError:
            self.source = "NVML v1"
            read = self._read()
        reserved = sum(each.reserved for each in read) if self.source == "NVML" else None
        self.sizes = (sum(each.total for each in read), reserved)
        names = dict.fromkeys(self._uuids, "GPU")
        for handle in self._handles():
            with suppress(pynvml.NVMLError):
                names[self._asked] = pynvml.nvmlDeviceGetName(handle)
        self.device = ", ".join(f"{name} ({uuid})" for uuid, name in names.items())

    def _list(self) -> None:
        self._processes = {
            (self._asked, each.pid): each.usedGpuMemory or 0
            for handle in self._handles()
            for each in processes(handle)
        }
        new = {pid for _, pid in self._processes} - self._ours.keys()
        self._ours |= {pid: descends(pid, self._root) for pid in new}
        self._told |= any(self._processes.values())
        mixed = len(self._ours) > 1 and None in self._ours.values()
        self.note = " ".join([V1] * (self.source != "NVML") + [MIXED] * (mixed or not self._told))

    def _used(self, begin: float, end: float) -> Samples:
        return [(look.moment, look.used) for look in self._between(begin, end) if not look.fault]

    def _trouble(self, begin: float, end: float) -> str:
        looks = self._between(begin, end)
        faults = [look.fault for look in looks if look.fault]
        moments = [begin, *(look.moment for look in looks), end]
        silence = max(later - earlier for earlier, later in pairwise(moments))
        if silence > SILENCE_SECONDS:
            faults.append(f"no answer for {silence:.1f} s")
        if faults:
            return f"the GPU could not be read: {faults[0]}"
        allowed = max((self.sizes[0] or 0) // 100, CHANGE_BYTES)
        compared = [look for look in self.looks if look.moment >= self.idle_at][:1] + looks
        seen = [look.processes for look in compared]
        for key in sorted(key for key in set().union(*seen) if self._ours[key[1]] is False):
            sizes = [each.get(key, 0) for each in seen]
            if max(sizes) - min(sizes) > allowed or not all(key in each for each in seen):
                least, most = min(sizes) // 2**20, max(sizes) // 2**20
                return f"another process on the GPU ({key[1]}) varied from {least} to {most} MiB"
        return ""

    def _between(self, begin: float, end: float) -> list[Look]:
        return [look for look in self.looks if begin <= look.moment <= end]


def processes(handle: Any) -> Iterator[Any]:
    for ask in (
        pynvml.nvmlDeviceGetComputeRunningProcesses,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses,
    ):
        with suppress(pynvml.NVMLError):  # the driver may not say
            yield from ask(handle)


def descends(pid: int, root: int | None) -> bool | None:
    """Whether the process is `root` or its descendant; None if that is not visible here."""
    try:
        while pid not in (0, root):
            stat = Path(f"/proc/{pid}/stat").read_bytes()
            pid = int(stat.rpartition(b")")[2].split()[1])
    except OSError:
        return None
    return None if root is None else pid == root
