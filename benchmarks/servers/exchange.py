"""What it costs to bring a frame to the model's process and back, and what it has to cost.

`python -m benchmarks.servers.exchange SECONDS` prints three medians in microseconds: the exchange
of a generated container's supervisor and worker; the same copies between two processes that share
memory and have nothing but two pipes; two copies in one process and a round trip through the pipes.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
import mmap
import os
import statistics
import sys
import time

import uvloop

from my_model.runtime.settings import ContainerSettings, Settings
from my_model.runtime.worker.child import Child
from my_model.runtime.worker.job import Job
from my_model.runtime.worker.job_slot import JobSlot
from my_model.runtime.worker.process import WorkerProcess
from my_model.runtime.worker.settings import WorkerSettings

FRAME = bytes(range(256)) * 2700
SIZE = len(FRAME)
BATCH = 20
ANSWER_SECONDS = 10

CONTAINER = ContainerSettings(capability_name="exchange", max_body_bytes=2 * SIZE)
SETTINGS = Settings([CONTAINER, WorkerSettings(model="benchmarks.servers.generated:Model")])
EXECUTOR = "my_model.runtime.worker.job_executor:JobExecutor"


class Bare:
    """Another process, which a byte wakes, and which copies one buffer into the other for a `c`."""

    def __init__(self) -> None:
        self._there, self._back = os.pipe(), os.pipe()
        self._in, self._out = mmap.mmap(-1, SIZE), mmap.mmap(-1, SIZE)
        self._own = bytearray(SIZE)
        if os.fork() == 0:
            os.close(self._there[1])
            with memoryview(self._in) as frame:
                while byte := os.read(self._there[0], 1):
                    if byte == b"c":
                        self._out[:] = frame
                    os.write(self._back[1], byte)
                os._exit(0)

    def exchange(self) -> None:
        self._in[:] = FRAME
        self._ring(b"c")
        self._out[:]

    def copy_and_ring(self) -> None:
        self._own[:] = FRAME
        self._ring(b".")
        bytes(self._own)

    def _ring(self, byte: bytes) -> None:
        os.write(self._there[1], byte)
        os.read(self._back[0], 1)


async def exchange(slot: JobSlot) -> None:
    job = Job(FRAME, "application/octet-stream", session_id="s", request_id="r")
    await slot.exchange(job, ANSWER_SECONDS, ANSWER_SECONDS)
    part = await job.next()
    assert part is not None
    assert len(part.data) == SIZE


async def main(seconds: float) -> None:
    bare = Bare()  # forks, and that must not copy the worker's sockets
    worker: WorkerProcess[JobSlot] = WorkerProcess(Child.spawn(SETTINGS, EXECUTOR))
    await worker.ready(JobSlot, CONTAINER.capacity, CONTAINER.max_body_bytes)
    slot = worker.slots[0]
    took: tuple[list[float], ...] = ([], [], [])
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # in turns, so that all meet the same load
        for _ in range(BATCH):
            started = time.perf_counter()
            await exchange(slot)
            took[0].append(time.perf_counter() - started)
        for work, seen in ((bare.exchange, took[1]), (bare.copy_and_ring, took[2])):
            for _ in range(BATCH):
                started = time.perf_counter()
                work()
                seen.append(time.perf_counter() - started)
    await worker.finish()
    print(*(1e6 * statistics.median(each) for each in took))


asyncio.run(main(float(sys.argv[1])), loop_factory=uvloop.new_event_loop)
