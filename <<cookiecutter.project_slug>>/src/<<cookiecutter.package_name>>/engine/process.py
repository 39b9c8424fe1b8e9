"""The model's process as the supervisor holds it: spawned, never forked; lanes to talk on."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Self

from ..errors import WorkerLostError
from .lane import Lane
from .messages import MAX_LINE_BYTES, Ready, WorkerOptions, decode, encode

KILL_SECONDS = 5


class WorkerProcess:
    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self.lanes: list[Lane] = []

    @classmethod
    async def spawn(cls, options: WorkerOptions) -> Self:
        """`options.control` and `options.supervisor` are filled in here.

        In a session of its own, so that Ctrl-C at a terminal reaches the supervisor alone.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            options = options._replace(control=theirs.fileno(), supervisor=os.getpid())
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"{__package__}.worker",
                encode(options),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        return cls(process, ours)

    async def ready(self, capacity: int, max_body_bytes: int) -> Ready:
        """Wait until the model is loaded and open the lanes, at most `capacity`.

        Raises WorkerLostError when the process ended or what it says makes no sense.
        """
        try:
            ready = decode(Ready, await self._receive())
            if not 1 <= ready.lanes <= capacity:
                raise WorkerLostError
            for _ in range(ready.lanes):
                self.lanes.append(await Lane.open(self._control, max_body_bytes))
        except (ConnectionError, ValueError) as error:
            raise WorkerLostError from error
        return ready

    async def _receive(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            part = await asyncio.get_running_loop().sock_recv(self._control, MAX_LINE_BYTES)
            line += part
            if not part or len(line) > MAX_LINE_BYTES:
                raise WorkerLostError
        return line

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    async def close(self, seconds: float) -> bool:
        """Let the model close and the process end by itself; False when it had to be killed."""
        self.release()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.wait() == 0
        await self.kill()
        return False

    async def kill(self) -> None:
        """End the process and whatever it has started; a driver may hold it a little longer."""
        self.release()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self.wait()

    def release(self) -> None:
        """Close our ends, which asks a living worker to finish, and free the frames."""
        for lane in self.lanes:
            lane.close()
        self.lanes.clear()
        self._control.close()
