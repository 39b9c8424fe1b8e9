"""The supervisor's end of a lane: one job at a time, brought to the model and back."""

import asyncio
import socket
import time
from typing import Self

from ..errors import JobError, WorkerLostError
from .exchange import CANCEL, NEXT, Dispatch, Reply
from .frames import FrameBuffer
from .job import Job, Part
from .messages import MAX_LINE_BYTES, decode, encode


class Lane:
    """A stream socket for words, a frame buffer each way for bodies."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_body_bytes: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.body = FrameBuffer.create(max_body_bytes)
        self.answer = FrameBuffer.create(max_body_bytes)

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
        does not answer, WorkerLostError when the process is gone or what it says makes no sense.
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
            reply = decode(Reply, await self._reader.readline())
        except (OSError, ValueError) as error:
            # ValueError: a line that is too long, or is no reply.
            raise WorkerLostError from error
        if not 0 <= reply.size <= self.answer.size:
            raise WorkerLostError
        return reply

    def close(self) -> None:
        self._writer.close()
        self.body.close()
        self.answer.close()
