"""The model's process as the supervisor holds it: lanes to talk on, and one way to end it."""

import asyncio
from contextlib import suppress

from ..errors import WorkerLostError
from .child import Child
from .lane import Lane
from .messages import MAX_LINE_BYTES, Ready, decode

KILL_SECONDS = 5


class WorkerProcess:
    def __init__(self, child: Child) -> None:
        self.child = child
        self.lanes: list[Lane] = []

    async def ready(self, capacity: int, max_body_bytes: int) -> Ready:
        """Wait until the model is loaded and open the lanes, at most `capacity`.

        Raises WorkerLostError when the process ended or what it says makes no sense.
        """
        try:
            ready = decode(Ready, await self._receive())
            if not 1 <= ready.lanes <= capacity:
                raise WorkerLostError
            for _ in range(ready.lanes):
                self.lanes.append(await Lane.open(self.child.control, max_body_bytes))
        except (ConnectionError, ValueError) as error:
            raise WorkerLostError from error
        return ready

    async def _receive(self) -> bytes:
        loop = asyncio.get_running_loop()
        line = b""
        while not line.endswith(b"\n"):
            part = await loop.sock_recv(self.child.control, MAX_LINE_BYTES)
            line += part
            if not part or len(line) > MAX_LINE_BYTES:
                raise WorkerLostError
        return line

    @property
    def alive(self) -> bool:
        return self.child.exit_code is None

    async def close(self) -> int:
        """Let the model close and the process end by itself; return its exit code."""
        self.release()
        return await self.child.wait()

    async def kill(self) -> None:
        """End the process and whatever it has started; a driver may hold it a little longer."""
        self.release()
        self.child.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self.child.wait()

    def release(self) -> None:
        """Close our ends, which asks a living worker to finish, and free the frames."""
        for lane in self.lanes:
            lane.close()
        self.lanes.clear()
        self.child.control.close()
