"""The memory of the GPUs that the container may use, as the driver tells it on this machine."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

import pynvml

from .memory import MemoryWatch, Scraped, Sizes, resident
from .scraper import Scraper

USED: Final = "byoc_gpu_memory_bytes"
TOTAL: Final = "byoc_gpu_memory_total_bytes"
START_SECONDS = 30.0  # without the persistence daemon the driver first starts every GPU
SAMPLE_SECONDS = 0.1
SAMPLES_A_LIST = 5  # of the processes, which takes longer
SILENCE_SECONDS = 1.0
CHANGE_BYTES = 16 * 2**20

V1 = "This driver counts what it keeps for itself as used."
MIXED = (
    "It is not told which processes on the GPU are the container's, and how much each uses: "
    "what a neighbour takes counts as the container's."
)


@contextmanager
def watch_memory(scraper: Scraper, root: int | None, here: bool) -> Iterator[MemoryWatch]:
    """`root` is the process id of the container, `here` says that it runs on this machine."""
    known = [scrape for scrape in scraper.scrapes if USED in scrape.values]
    if not known:
        yield resident(scraper, here)
        return
    uuids = sorted(known[-1].by(USED, "uuid"))
    with closing(Devices(uuids, root)) as devices:
        obstacle = devices.start() if here else "the container is not on this machine"
        total = int(known[-1].total(TOTAL) or 0)
        scraped = Scraped(scraper, USED, ", ".join(uuids), Sizes(total or None))
        scraped.note = f"GPU memory is what the container's metrics tell, because {obstacle}."
        yield scraped if obstacle else devices


class Devices(MemoryWatch):
    """All of these. A process that uses them and does not descend from `root` is a neighbour.

    A call of NVML may hang for ever: a thread makes them all, for which nobody waits for long.
    """

    def __init__(self, uuids: Sequence[str], root: int | None) -> None:
        self.source = "NVML"
        self._uuids = uuids
        self._root = root
        self._asked = "NVML"
        self._samples: list[tuple[float, int]] = []
        self._faults: list[tuple[float, str]] = []
        self._neighbours: list[tuple[float, dict[int, int]]] = []
        self._ours: dict[int, bool] = {}
        self._told = self._mixed = False
        self._answered, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="nvml", daemon=True)

    def start(self) -> str:
        """Why NVML does not tell the memory; empty if it does."""
        self._thread.start()
        self._answered.wait(START_SECONDS)
        if self._samples:
            return ""
        self.close()
        return next((words for _, words in self._faults), "the NVIDIA driver does not answer")

    def close(self) -> None:
        self._done.set()

    def used(self, begin: float, end: float) -> Sequence[tuple[float, int]]:
        return [sample for sample in self._samples if begin <= sample[0] <= end]

    def trouble(self, begin: float, end: float) -> str:
        for moment, words in self._faults:
            if begin <= moment <= end:
                return f"the GPU could not be read: {words}"
        moments = [begin, *(moment for moment, _ in self.used(begin, end)), end]
        silence = max(later - earlier for earlier, later in pairwise(moments))
        if silence > SILENCE_SECONDS:
            return f"the GPU could not be read: no answer for {silence:.1f} s"
        before = [each for moment, each in self._neighbours if moment <= begin]
        seen = before[-1:] + [each for moment, each in self._neighbours if begin < moment <= end]
        allowed = max((self.sizes.total or 0) // 100, CHANGE_BYTES)
        for pid in sorted(set().union(*seen)):
            sizes = [each.get(pid, 0) for each in seen]
            if max(sizes) - min(sizes) > allowed or not all(pid in each for each in seen):
                least, most = min(sizes) // 2**20, max(sizes) // 2**20
                return f"a neighbour on the GPU, process {pid}, had {least} to {most} MiB"
        return ""

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            try:
                self._hold_session()
            except pynvml.NVMLError as error:
                self._faults.append((time.monotonic(), f"{self._asked}: {error}"))
                self._answered.set()

    def _hold_session(self) -> None:
        """Until a fault: a session with a driver or device that went away sees none come back."""
        self._asked = "NVML"
        pynvml.nvmlInit()
        try:
            if not self._samples:
                self._describe()
            for number in count():
                moment = time.monotonic()
                self._samples.append((moment, sum(each.used for each in self._read())))
                if number % SAMPLES_A_LIST == 0:
                    self._list(moment)
                self._answered.set()
                if self._done.wait(SAMPLE_SECONDS):
                    return
        finally:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

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
        self.sizes = Sizes(sum(each.total for each in read), reserved)
        names = dict.fromkeys(self._uuids, "GPU")
        for handle in self._handles():
            with suppress(pynvml.NVMLError):
                names[self._asked] = pynvml.nvmlDeviceGetName(handle)
        self.device = ", ".join(f"{name} ({uuid})" for uuid, name in names.items())

    def _list(self, moment: float) -> None:
        listed: Counter[int] = Counter()
        for handle in self._handles():
            found = {}
            for ask in (
                pynvml.nvmlDeviceGetComputeRunningProcesses,
                pynvml.nvmlDeviceGetGraphicsRunningProcesses,
            ):
                with suppress(pynvml.NVMLError):  # it may not be told
                    found.update({each.pid: each.usedGpuMemory or 0 for each in ask(handle)})
            listed.update(found)
        for pid in listed.keys() - self._ours.keys():
            if (ours := descends(pid, self._root)) is not None:
                self._ours[pid] = ours
        others = {pid: used for pid, used in listed.items() if not self._ours.get(pid, True)}
        self._neighbours.append((moment, others))
        self._told = self._told or any(listed.values())
        self._mixed = self._mixed or (len(listed) > 1 and not listed.keys() <= self._ours.keys())
        notes = [V1] if self.source == "NVML v1" else []
        notes += [MIXED] if self._mixed or not self._told else []
        self.note = " ".join(notes)


def descends(pid: int, root: int | None) -> bool | None:
    """Whether the process is `root` or comes from it; None when that is not to be seen here."""
    try:
        while pid not in (0, root):
            stat = Path(f"/proc/{pid}/stat").read_bytes()
            pid = int(stat.rpartition(b")")[2].split()[1])
    except OSError:
        return None
    return None if root is None else pid == root
