"""The model's process as the kernel has it: spawned, never forked.

This module imports little, because the process is spawned before the server is imported.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Self

from ..settings import ContainerSettings, Settings
from .protocol import WorkerOptions, encode
from .settings import WorkerSettings


class Child:
    """`control` is our end of the socket that the process has inherited."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.control = control
        self._process = process
        self._spawned = time.monotonic()

    @classmethod
    def spawn(cls, settings: Settings, executor: str) -> Self:
        """In a session of its own, so that Ctrl-C at a terminal reaches the supervisor alone.

        `executor` names the class that calls the model there, as `module:Class`.
        """
        container, worker = settings[ContainerSettings], settings[WorkerSettings]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            options = WorkerOptions(
                supervisor=os.getpid(),
                control=theirs.fileno(),
                executor=executor,
                model=worker.model,
                weights_dir=str(worker.weights_dir),
                capacity=container.capacity,
                max_body_bytes=container.max_body_bytes,
                log_format=container.log_format,
                log_level=container.log_level,
            )
            process = subprocess.Popen(
                [sys.executable, "-m", __package__, encode(options)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since it was spawned."""
        return time.monotonic() - self._spawned

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that has killed it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Until it has ended; returns its exit code."""
        if self.exit_code is None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            descriptor = os.pidfd_open(self.pid)
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        return self._process.wait()

    def kill(self) -> None:
        """With whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
