"""Which GPUs this container may see, and how full they are.

NVML may block for as long as the driver likes: call all of this on a thread that nobody waits for
without a deadline. Each call may raise pynvml.NVMLError.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import pynvml

from .gpu import MemorySample

CHOSEN = "CUDA_VISIBLE_DEVICES"
GRANTED = "NVIDIA_VISIBLE_DEVICES"

# Errors that a device always gives; any other error may mean that the device is lost.
SETTLED = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission)


@dataclass(frozen=True, eq=False)
class Device:
    """A GPU, or one MIG device of a GPU.

    `gpu` is its number as nvidia-smi shows it, `1`, or `1:0` for the first MIG device of GPU 1;
    `parent` is the UUID of the GPU. `error` is why the driver did not report more.
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


def read_memory(device: Device) -> MemorySample:
    """What is used includes what the driver keeps for itself."""
    if device.error is not None:
        raise device.error
    info = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(device.uuid))
    # GPUs without memory of their own answer nothing, 0 or the largest number there is.
    if not 0 < info.total >= info.used:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return MemorySample(device.gpu, device.uuid, info.used, info.total)


def visible_devices(environ: Mapping[str, str]) -> list[Device]:
    """The devices that both variables leave to this container."""
    devices = all_devices()
    granted = granted_devices(devices, environ.get(GRANTED, "all"))
    chosen = chosen_devices(devices, environ[CHOSEN]) if CHOSEN in environ else devices
    return [device for device in devices if device in granted and device in chosen]


def granted_devices(devices: list[Device], value: str) -> list[Device]:
    """What NVIDIA_VISIBLE_DEVICES grants.

    The toolkit has applied it to a container before we start, except to a privileged one. Its
    numbers are the host's, not the container's, so they are applied only if more devices are
    visible than the variable names. `all`, `void` (which the toolkit sets when it gives
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
    # A device whose UUID can't be read now may be the one that is meant.
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
            refused = error  # most likely of another container: the count includes those
        except pynvml.NVMLError as error:
            gpus.append([Device(number, error=error)])
    if refused and not gpus:
        raise refused
    return [device for gpu in gpus for device in gpu]


def gpu_devices(number: str, gpu: object) -> list[Device]:
    """The MIG devices of a GPU, if it has any for us, else the GPU itself.

    In a container the memory of a GPU in MIG mode can't be read, that of its MIG devices can.
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
