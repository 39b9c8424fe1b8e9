"""The main process's end of a slot for jobs: brings a job to the model, and its answer back."""

import asyncio
import socket
import time
from typing import Self

from ..errors import JobError, WorkerLostError
from .job import Job, Part
from .job_protocol import CANCEL, NEXT, Dispatch, Reply
from .protocol import MAX_LINE_BYTES, decode, encode
from .slot import Slot


class JobSlot(Slot):
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, control: socket.socket, max_body_bytes: int) -> Self:
        slot = await super().open(control, max_body_bytes)
        slot._reader, slot._writer = await asyncio.open_unix_connection(
            sock=slot.connection, limit=MAX_LINE_BYTES
        )
        return slot

    async def exchange(self, job: Job, model_seconds: float, caller_seconds: float) -> None:
        """Give the job to the model, and the model's answer to the job.

        The model has `model_seconds` for it. The caller has `caller_seconds` to read a stream, all
        pauses together, because the next job waits.

        Raises JobError when the job failed and the process is sound, TimeoutError when the model
        does not answer, WorkerLostError when the process is gone or its reply makes no sense.
        """
        size = self.body.write(job.body)
        self._send(encode(Dispatch(size, job.content_type, job.session_id, job.request_id)))
        while True:
            started = time.monotonic()
            async with asyncio.timeout(model_seconds):
                reply = await self._receive()
            answered = time.monotonic()
            model_seconds -= answered - started
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
                        async with asyncio.timeout(caller_seconds):
                            await job.put(self._part(reply))
                    except TimeoutError:
                        job.fail(JobError("timeout", "the stream was read too slowly"))
                        job.abandon()
                    caller_seconds -= time.monotonic() - answered
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
        super().close()
