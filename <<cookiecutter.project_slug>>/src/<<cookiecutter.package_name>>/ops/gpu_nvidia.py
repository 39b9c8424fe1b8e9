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

import pynvml  # type: ignore[import-untyped]
import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..settings import SettingsError

# The oldest driver that runs CUDA 12; libraries built for CUDA 13 need 580.65.06.
# https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/ (minor version compatibility)
MINIMUM_DRIVER = "525.60.13"

READ_SECONDS = 1.0
START_SECONDS = 30.0  # without the persistence daemon the driver first starts every GPU

CHOSEN = "CUDA_VISIBLE_DEVICES"
GRANTED = "NVIDIA_VISIBLE_DEVICES"

DRIVER = "driver"  # the name of what is at fault when it is no device

# What a device answers for good; after any other error it may have been lost.
SETTLED = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission)

log = structlog.get_logger()


class GpuUnavailableError(SettingsError):
    """One line: why there is no GPU to work on."""


@dataclass(frozen=True, eq=False)
class Device:
    """A GPU, or one MIG device of a GPU.

    `gpu` is its number as nvidia-smi shows it, `1`, or `1:0` for the first MIG device of GPU 1;
    `parent` is the UUID of the GPU. `error` says why the driver would not tell more.
    """

    gpu: str
    uuid: str = ""
    parent: str = ""
    error: pynvml.NVMLError | None = None

    @property
    def number(self) -> str:
        return self.gpu.partition(":")[0]

    @property
    def name(self) -> str:
        return self.uuid or f"gpu {self.gpu}"


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


# Below: calls to NVML, all of them on such a thread. Each may raise pynvml.NVMLError.


def memory(device: Device) -> tuple[int, int]:
    """Bytes used and in all; used includes what the driver keeps for itself."""
    if device.error is not None:
        raise device.error
    info = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(device.uuid))
    # GPUs without memory of their own answer nothing, 0 or the largest number there is.
    if not 0 < info.total >= info.used:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return info.used, info.total


def visible_devices(environ: Mapping[str, str]) -> list[Device]:
    """The devices that both variables leave to this container."""
    devices = all_devices()
    granted = granted_devices(devices, environ.get(GRANTED, "all"))
    chosen = chosen_devices(devices, environ[CHOSEN]) if CHOSEN in environ else devices
    return [device for device in devices if device in granted and device in chosen]


def granted_devices(devices: list[Device], value: str) -> list[Device]:
    """What NVIDIA_VISIBLE_DEVICES grants.

    The toolkit has applied it to a container before we start, except to a privileged one. Its
    numbers are the host's, not those left in the container, so that they count only where more
    devices are to be seen than they name. `all`, `void` (which the toolkit sets when it gives
    devices by CDI) and names of other forms restrict nothing.
    """
    entries = [entry.strip() for entry in value.split(",")]
    if entries == ["none"]:
        return []
    if not all(re.fullmatch(r"\d+(:\d+)?|(GPU|MIG)-[\w/-]+", entry) for entry in entries):
        return devices
    shown = devices if ":" in value else {device.number for device in devices}
    if any(entry[0].isdigit() for entry in entries) and len(shown) <= len(set(entries)):
        return devices
    return [device for entry in entries for device in named_devices(devices, entry)]


def chosen_devices(devices: list[Device], value: str) -> list[Device]:
    """What CUDA_VISIBLE_DEVICES chooses: CUDA ignores all from the first invalid entry on.

    Numbers are taken in the driver's order. CUDA does so with CUDA_DEVICE_ORDER=PCI_BUS_ID, or when
    the GPUs are alike; it may put the fastest of unlike GPUs first. UUIDs are never ambiguous.
    """
    chosen: list[Device] = []
    for entry in value.split(","):
        named = named_devices(devices, entry.strip())
        if not named:
            break
        chosen += named
    return chosen


def named_devices(devices: list[Device], entry: str) -> list[Device]:
    """The devices of a GPU given by number or by the start of its UUID, or one MIG device."""
    if not entry.startswith(("GPU-", "MIG-")):
        return [device for device in devices if entry in (device.gpu, device.number)]
    if entry.startswith("MIG-"):
        # Drivers since 470 know MIG-<GPU UUID>/<GPU instance>/<compute instance> by another UUID.
        with suppress(pynvml.NVMLError):
            entry = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByUUID(entry))
        named = [device for device in devices if device.uuid == entry]
    else:
        named = [device for device in devices if device.parent.startswith(entry)]
        if len({device.parent for device in named}) > 1:
            return []
    # One that can't tell its UUID now may be the one that is meant.
    return named or [device for device in devices if not device.uuid]


def all_devices() -> list[Device]:
    """Every device that the driver shows, also those it has trouble with."""
    gpus: list[list[Device]] = []
    refused: pynvml.NVMLError | None = None
    for index in range(pynvml.nvmlDeviceGetCount()):
        number = str(len(gpus))
        try:
            gpus.append(gpu_devices(number, pynvml.nvmlDeviceGetHandleByIndex(index)))
        except pynvml.NVMLError_NoPermission as error:
            refused = error  # most likely a neighbour's: the count includes them
        except pynvml.NVMLError as error:
            gpus.append([Device(number, error=error)])
    if refused and not gpus:
        raise refused
    return [device for gpu in gpus for device in gpu]


def gpu_devices(number: str, gpu: object) -> list[Device]:
    """The MIG devices of a GPU, if it has any for us, else the GPU itself.

    In a container the memory of a GPU in MIG mode is not told, that of its MIG devices is.
    """
    uuid = pynvml.nvmlDeviceGetUUID(gpu)
    slots = 0
    with suppress(pynvml.NVMLError):  # older drivers know nothing of MIG
        slots = pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)
    devices = []
    for index in range(slots):
        name = f"{number}:{index}"
        try:
            mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
            devices.append(Device(name, pynvml.nvmlDeviceGetUUID(mig), uuid))
        except (pynvml.NVMLError_NotFound, *SETTLED):
            continue
        except pynvml.NVMLError as error:
            devices.append(Device(name, parent=uuid, error=error))
    return devices or [Device(number, uuid, uuid)]
