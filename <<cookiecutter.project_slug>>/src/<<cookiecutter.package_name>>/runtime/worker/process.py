"""The model's process as the supervisor holds it: slots to call it through, and its end."""

import asyncio
from contextlib import suppress

from ..errors import WorkerLostError
from .child import Child
from .protocol import MAX_LINE_BYTES, Ready, decode
from .slot import Slot

KILL_SECONDS = 5


class WorkerProcess[S: Slot]:
    def __init__(self, child: Child) -> None:
        self.child = child
        self.slots: list[S] = []

    async def ready(self, slot_type: type[S], capacity: int, max_body_bytes: int) -> Ready:
        """Wait until the model is loaded and open the slots, at most `capacity`.

        Raises WorkerLostError when the process ended or what it says makes no sense.
        """
        try:
            ready = decode(Ready, await self._receive())
            if not 1 <= ready.slots <= capacity:
                raise WorkerLostError
            for _ in range(ready.slots):
                self.slots.append(await slot_type.open(self.child.control, max_body_bytes))
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

    async def finish(self) -> int:
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
        """Close our ends, which asks a living worker to finish, and free the shared memory."""
        for slot in self.slots:
            slot.close()
        self.slots.clear()
        self.child.control.close()
