"""What an orchestrator is told of the GPU."""

import asyncio
import os
from contextlib import suppress
from typing import Any

import pynvml

from .gpu import on_thread
from .nvml import memory, visible_devices

READ_SECONDS = 2
MEBIBYTE = 1024 * 1024


async def describe_gpu() -> dict[str, Any] | None:
    """`id`, `name` and `vram_mb` of the first GPU (contract §5.1); None when none can be read."""
    reading = asyncio.wrap_future(on_thread(read))
    await asyncio.wait([reading], timeout=READ_SECONDS)
    return reading.result() if reading.done() and not reading.exception() else None


def read() -> dict[str, Any] | None:
    """May take as long as the driver likes. Raises pynvml.NVMLError."""
    pynvml.nvmlInit()
    try:
        for device in visible_devices(os.environ):
            with suppress(pynvml.NVMLError):
                _, total = memory(device)
                name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByUUID(device.uuid))
                return {"id": device.gpu, "name": str(name), "vram_mb": total // MEBIBYTE}
        return None
    finally:
        pynvml.nvmlShutdown()
