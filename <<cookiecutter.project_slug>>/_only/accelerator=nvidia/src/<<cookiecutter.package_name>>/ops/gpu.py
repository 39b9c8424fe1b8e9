"""NVIDIA GPUs: how full their memory is, and whether this container has one at all.

Figures are those of whole devices, or of MIG devices: inside a container the driver tells process
ids of the host, so that one process's share of the memory can't be known.
"""

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

import pynvml
import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..settings import SettingsError
from .nvml import CHOSEN, GRANTED, SETTLED, Device, memory, visible_devices

# The oldest driver that runs CUDA 12; libraries built for CUDA 13 need 580.65.06.
# https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/ (minor version compatibility)
MINIMUM_DRIVER = "525.60.13"

READ_SECONDS = 1.0
START_SECONDS = 30.0  # without the persistence daemon the driver first starts every GPU

DRIVER = "driver"  # the name of what is at fault when it is no device

log = structlog.get_logger()


class GpuUnavailableError(SettingsError):
    """One line: why there is no GPU to work on."""


@dataclass
class Reading:
    """Bytes used and in all by device; what went wrong by the name of a device, or DRIVER."""

    memory: dict[Device, tuple[int, int]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


class GpuMemory(Collector):
    """Memory of the GPUs that this container may see; a device that can't be read has no sample.

    NVML may block for as long as the driver likes. It is read on a daemon thread, one at a time: a
    call that hangs costs the scrapes their GPU samples, and nothing else.
    """

    def __init__(
        self,
        *,
        on_error: Callable[[], None],
        environ: Mapping[str, str] = os.environ,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """`on_error` is called on the event loop, once for each fault until that has gone."""
        self._on_error = on_error
        self._environ = environ
        self._read_seconds = read_seconds
        self._initialized = False
        self._devices: list[Device] = []
        self._pending: Future[Reading] | None = None
        self._deadline = 0.0
        self._memory: dict[Device, tuple[int, int]] = {}
        self._faults: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        labels = ["gpu", "uuid"]
        used = GaugeMetricFamily(
            "byoc_gpu_memory_bytes",
            "Device memory in use, by all processes and the driver.",
            labels=labels,
        )
        total = GaugeMetricFamily(
            "byoc_gpu_memory_total_bytes", "Device memory in all.", labels=labels
        )
        for device, (used_bytes, total_bytes) in self._memory.items():
            used.add_metric([device.gpu, device.uuid], used_bytes)
            total.add_metric([device.gpu, device.uuid], total_bytes)
        yield used
        yield total

    async def refresh(self) -> None:
        """Read the devices, within `read_seconds`; scrapes at the same time share one reading.

        Raises nothing: what can't be read is counted, logged and left out.
        """
        loop = asyncio.get_running_loop()
        # An answer that came after its deadline is old by now: read again.
        if self._pending is None or self._pending.done():
            self._pending = on_thread(self._read)
            self._deadline = loop.time() + self._read_seconds
        pending, seconds = self._pending, self._deadline - loop.time()
        if seconds > 0:
            await asyncio.wait([asyncio.wrap_future(pending)], timeout=seconds)
        try:
            reading = pending.result(timeout=0)
        except TimeoutError:
            reading = Reading(faults={DRIVER: f"no answer within {self._read_seconds:g} s"})
        except Exception as error:
            reading = Reading(faults={DRIVER: repr(error)})
        self._publish(reading)

    def _publish(self, reading: Reading) -> None:
        self._memory = reading.memory
        for name, error in reading.faults.items():
            if name not in self._faults:
                self._on_error()
                log.warning("gpu memory unknown", device=name, error=error)
        if DRIVER in reading.faults:  # which says nothing of the devices' own faults
            self._faults |= reading.faults.keys()
            return
        for name in self._faults - reading.faults.keys():
            log.info("gpu memory known again", device=name)
        self._faults = set(reading.faults)

    def _read(self) -> Reading:
        reading = Reading()
        lost = False
        try:
            if not self._initialized:
                pynvml.nvmlInit()
                self._initialized = True
            # As CUDA does, settle once which devices are ours, as soon as all could be asked.
            devices = self._devices or visible_devices(self._environ)
            if all(device.error is None for device in devices):
                self._devices = devices
            for device in devices:
                try:
                    reading.memory[device] = memory(device)
                except pynvml.NVMLError as error:
                    reading.faults[device.name] = str(error)
                    lost = lost or not isinstance(error, SETTLED)
        except pynvml.NVMLError as error:
            reading.faults[DRIVER] = str(error)
            lost = True
        if lost:
            # A session with a driver or device that went away does not see it come back.
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
            self._initialized = False
        return reading


def require_gpu(
    environ: Mapping[str, str] = os.environ, *, start_seconds: float = START_SECONDS
) -> None:
    """Raises GpuUnavailableError unless a recent driver shows this container a GPU."""
    try:
        obstacle = on_thread(lambda: find_obstacle(environ)).result(start_seconds)
    except TimeoutError:
        obstacle = f"the NVIDIA driver gave no answer within {start_seconds:g} s"
    if obstacle:
        raise GpuUnavailableError(f"BYOC_REQUIRE_GPU is set, but {obstacle}")


def find_obstacle(environ: Mapping[str, str]) -> str:
    """What keeps this container from working on a GPU; empty when nothing does."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"there is no working NVIDIA driver: {error} (docker run needs --gpus)"
    try:
        found = str(pynvml.nvmlSystemGetDriverVersion())
        if version(found) < version(MINIMUM_DRIVER):
            return f"the NVIDIA driver is too old: found {found}, needed {MINIMUM_DRIVER} or newer"
        failures = []
        for device in visible_devices(environ):
            try:
                memory(device)
            except pynvml.NVMLError_NotSupported:  # a GPU that works in the host's memory
                return ""
            except pynvml.NVMLError as error:
                failures.append(f"{device.name}: {error}")
            else:
                return ""
    except pynvml.NVMLError as error:
        return f"the NVIDIA driver fails: {error}"
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    if failures:
        return f"no GPU works: {'; '.join(failures)}"
    settings = [f"{name}={environ[name]!r}" for name in (CHOSEN, GRANTED) if name in environ]
    return " ".join(["the NVIDIA driver shows it no GPU", *settings])


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def on_thread[T](call: Callable[[], T]) -> Future[T]:
    """Run `call` on a thread that can't hold up the end of the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    try:
        threading.Thread(target=run, name="nvml", daemon=True).start()
    except RuntimeError as error:  # the limit of threads is reached
        future.set_exception(error)
    return future
