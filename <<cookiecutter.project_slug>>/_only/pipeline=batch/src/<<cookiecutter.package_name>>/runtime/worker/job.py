"""One job on its way to the model and its answer on the way back."""

import asyncio
from typing import NamedTuple

from ..errors import JobError

BACKLOG = 16


class Part(NamedTuple):
    """A whole answer (`answer`), or one JSON value of a stream (`chunk`)."""

    kind: str
    data: bytes
    content_type: str


class Job:
    """`body` is kept until the end, so that the job can be given to the model once more.

    `begun`: part of the answer has come. `retried`: a worker was lost that had the job.
    """

    def __init__(self, body: bytes, content_type: str, *, session_id: str, request_id: str) -> None:
        self.body = body
        self.content_type = content_type
        self.session_id = session_id
        self.request_id = request_id
        self.abandoned = False
        self.begun = False
        self.retried = False
        self._parts: asyncio.Queue[Part | JobError | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(BACKLOG)

    async def next(self) -> Part | None:
        """The next part, or None at the end of a stream; raises JobError when the job failed."""
        part = await self._parts.get()
        self._room.release()
        if isinstance(part, JobError):
            raise part
        return part

    async def put(self, part: Part) -> None:
        """Waits while the caller is `BACKLOG` parts behind."""
        await self._room.acquire()
        self.begun = True
        self._parts.put_nowait(part)

    def end(self) -> None:
        self._parts.put_nowait(None)

    def fail(self, error: JobError) -> None:
        self._parts.put_nowait(error)

    def abandon(self) -> None:
        """Nobody waits for it any more: the rest of its answer is discarded."""
        self.abandoned = True
        self._room.release()
