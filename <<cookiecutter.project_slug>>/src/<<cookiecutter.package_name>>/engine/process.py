"""The model's process as the supervisor holds it: spawned, never forked; lanes to talk on."""

import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Self

from ..errors import ErrorType, JobError
from .frames import FrameBuffer
from .job import Job, Part
from .messages import CANCEL, NEXT, Dispatch, Ready, Reply, WorkerOptions, decode, encode

KILL_SECONDS = 5
MAX_LINE_BYTES = 1_048_576


class WorkerLostError(Exception):
    """The process is dead or has to be killed; `cause` is None when it ended by itself."""

    def __init__(self, cause: ErrorType | None = None) -> None:
        super().__init__(cause)
        self.cause = cause


class Lane:
    """One job at a time: a stream socket for words, a frame buffer each way for bodies."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_body_bytes: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.body = FrameBuffer.create(max_body_bytes)
        self.answer = FrameBuffer.create(max_body_bytes)
        self.job: Job | None = None

    @classmethod
    async def open(cls, control: socket.socket, max_body_bytes: int) -> Self:
        """Make a lane and send the worker its ends of it."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE_BYTES)
        lane = cls(reader, writer, max_body_bytes)
        with theirs:
            socket.send_fds(control, [b"+"], [theirs.fileno(), lane.body.fd, lane.answer.fd])
        return lane

    async def exchange(self, job: Job, seconds: float, patience: float) -> None:
        """Bring the model's answer to the job.

        The model has `seconds` for it, and the caller `patience` seconds to read a stream, all its
        pauses together, because the next job waits.

        Raises JobError when the job failed and the process is sound, TimeoutError when the model
        does not answer, WorkerLostError when the process is gone.
        """
        size = self.body.write(job.body)
        self._send(encode(Dispatch(size, job.content_type, job.session_id, job.request_id)))
        while True:
            started = time.monotonic()
            async with asyncio.timeout(seconds):
                reply = await self._receive()
            answered = time.monotonic()
            seconds -= answered - started
            match reply.kind:
                case "error":
                    raise JobError(reply.error, reply.message, field=reply.field)
                case "end":
                    job.end()
                    return
                case "answer":
                    await job.put(self._part(reply))
                    return
                case "chunk" if not job.abandoned:
                    try:
                        async with asyncio.timeout(patience):
                            await job.put(self._part(reply))
                    except TimeoutError:
                        job.fail(JobError("timeout", "the stream was read too slowly"))
                        job.abandon()
                    patience -= time.monotonic() - answered
            self._send(CANCEL if job.abandoned else NEXT)

    def _part(self, reply: Reply) -> Part:
        return Part(reply.kind, self.answer.read(reply.size), reply.content_type)

    def _send(self, line: bytes) -> None:
        """Lines are short and alternate with replies: the socket's buffer never fills."""
        self._writer.write(line)

    async def _receive(self) -> Reply:
        try:
            line = await self._reader.readline()
        except ConnectionError:
            line = b""
        if not line.endswith(b"\n"):
            raise WorkerLostError
        return decode(Reply, line)

    def close(self) -> None:
        self._writer.close()
        self.body.close()
        self.answer.close()


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

    async def ready(self, max_body_bytes: int) -> Ready:
        """Wait until the model is loaded and open the lanes; WorkerLostError when it ended."""
        line = await asyncio.get_running_loop().sock_recv(self._control, MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise WorkerLostError
        ready = decode(Ready, line)
        for _ in range(ready.lanes):
            self.lanes.append(await Lane.open(self._control, max_body_bytes))
        return ready

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
