"""NVIDIA GPUs: how full their memory is, and whether this container has one at all.

Figures are those of whole devices, or of MIG devices: inside a container the driver reports process
ids of the host, so that one process's share of the memory can't be known.
"""

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pynvml
import structlog

from .gpu import Gpu, GpuUnavailableError, MemorySample
from .nvml import CHOSEN, GRANTED, SETTLED, Device, read_memory, visible_devices

# The oldest driver that runs CUDA 12; libraries built for CUDA 13 need 580.65.06.
# https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/ (minor version compatibility)
MINIMUM_DRIVER = "525.60.13"

READ_SECONDS = 1.0
DESCRIBE_SECONDS = 2.0
START_SECONDS = 30.0  # without the persistence daemon the driver first starts every GPU

DRIVER = "driver"  # stands for the driver where a fault is not one of a device
MEBIBYTE = 1024 * 1024

log = structlog.get_logger()


@dataclass
class Reading:
    """`faults`: what went wrong, by the name of a device, or DRIVER."""

    samples: list[MemorySample] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


class NvidiaGpu(Gpu):
    """The GPUs that this container may see.

    NVML may block for as long as the driver likes. It is read on a daemon thread, one at a time: a
    call that hangs costs the scrapes their GPU samples, and nothing else.
    """

    def __init__(
        self,
        on_error: Callable[[], None],
        *,
        environ: Mapping[str, str] = os.environ,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        super().__init__(on_error)
        self._environ = environ
        self._read_seconds = read_seconds
        self._initialized = False
        self._devices: list[Device] = []
        self._pending: Future[Reading] | None = None
        self._deadline = 0.0
        self._samples: list[MemorySample] = []
        self._faults: set[str] = set()

    def samples(self) -> Iterable[MemorySample]:
        return self._samples

    async def refresh(self) -> None:
        """Read the devices, within `read_seconds`; scrapes at the same time share one reading.

        What can't be read is counted, logged and left out.
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
        self._samples = reading.samples
        for name, error in reading.faults.items():
            if name not in self._faults:
                self._on_error()
                log.warning("gpu memory unknown", device=name, error=error)
        if DRIVER in reading.faults:  # without the driver, nothing is known of the devices
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
                    reading.samples.append(read_memory(device))
                except pynvml.NVMLError as error:
                    reading.faults[device.name] = str(error)
                    lost = lost or not isinstance(error, SETTLED)
        except pynvml.NVMLError as error:
            reading.faults[DRIVER] = str(error)
            lost = True
        if lost:
            # NVML sees a lost driver or device come back only if it is initialized again.
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
            self._initialized = False
        return reading

    async def first_device(self) -> dict[str, Any] | None:
        reading = asyncio.wrap_future(on_thread(lambda: describe(self._environ)))
        await asyncio.wait([reading], timeout=DESCRIBE_SECONDS)
        return reading.result() if reading.done() and not reading.exception() else None

    @staticmethod
    def require(environ: Mapping[str, str], *, start_seconds: float = START_SECONDS) -> None:
        """Raises GpuUnavailableError unless a recent driver shows this container a GPU."""
        try:
            obstacle = on_thread(lambda: find_obstacle(environ)).result(start_seconds)
        except TimeoutError:
            obstacle = f"the NVIDIA driver gave no answer within {start_seconds:g} s"
        if obstacle:
            raise GpuUnavailableError(f"BYOC_REQUIRE_GPU is set, but {obstacle}")


def describe(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The first device that can be read, as heartbeats describe it. Raises pynvml.NVMLError."""
    pynvml.nvmlInit()
    try:
        for device in visible_devices(environ):
            with suppress(pynvml.NVMLError):
                total = read_memory(device).total
                name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByUUID(device.uuid))
                return {"id": device.gpu, "name": str(name), "vram_mb": total // MEBIBYTE}
        return None
    finally:
        pynvml.nvmlShutdown()


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
                read_memory(device)
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
