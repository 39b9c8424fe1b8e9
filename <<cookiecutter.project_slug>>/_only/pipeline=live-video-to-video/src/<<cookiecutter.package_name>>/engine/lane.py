"""The supervisor's end of a lane: one call of the model at a time, from a thread that may wait."""

import itertools
import socket
import time
from collections.abc import Buffer
from contextlib import suppress
from typing import Any, Self

from av import VideoFrame

from ..errors import WorkerLostError
from .exchange import Reply, Task
from .frames import FrameBuffer
from .messages import MAX_LINE_BYTES, decode, encode

LEAST_SECONDS = 0.001  # to a socket, 0 means not to wait


class Lane:
    """A stream socket for words, a frame buffer each way for pictures."""

    def __init__(self, connection: socket.socket, max_body_bytes: int) -> None:
        self._connection = connection
        self.body = FrameBuffer.create(max_body_bytes)
        self.answer = FrameBuffer.create(max_body_bytes)

    @classmethod
    async def open(cls, control: socket.socket, max_body_bytes: int) -> Self:
        """Make a lane and send the worker its ends of it."""
        ours, theirs = socket.socketpair()
        lane = cls(ours, max_body_bytes)
        with theirs:
            socket.send_fds(control, [b"+"], [theirs.fileno(), lane.body.fd, lane.answer.fd])
        return lane

    def put(self, picture: VideoFrame) -> None:
        """Copy an rgb24 picture to where the worker reads it."""
        plane, width = picture.planes[0], 3 * picture.width
        pixels: Buffer = plane
        if plane.line_size > width:
            lines, starts = memoryview(plane), range(0, plane.buffer_size, plane.line_size)
            pixels = b"".join(lines[start : start + width] for start in starts)
        self.body.write(pixels)

    def exchange(self, task: Task, seconds: float) -> Reply:
        """Have the worker do it; TimeoutError after `seconds`.

        Raises WorkerLostError when the process is gone or what it says makes no sense.
        """
        end = time.monotonic() + seconds
        self._connection.settimeout(seconds)
        try:
            self._connection.sendall(encode(task))
            reply = decode(Reply, self._receive(end))
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise WorkerLostError from error
        if reply.kind == "picture" and not self._holds(reply):
            raise WorkerLostError
        return reply

    def _receive(self, end: float) -> bytes:
        """The one line that is the answer, until `end` by the clock of time.monotonic()."""
        line = b""
        while not line.endswith(b"\n"):
            self._connection.settimeout(max(end - time.monotonic(), LEAST_SECONDS))
            part = self._connection.recv(MAX_LINE_BYTES)
            line += part
            if not part or len(line) > MAX_LINE_BYTES:
                raise WorkerLostError
        return line

    def _holds(self, reply: Reply) -> bool:
        size = 3 * reply.height * reply.width
        return min(reply.height, reply.width) > 0 and size <= self.answer.size

    def take(self, reply: Reply) -> VideoFrame:
        """The picture that the worker answered with, as rgb24."""
        picture = VideoFrame(reply.width, reply.height, "rgb24")
        plane, width = picture.planes[0], 3 * reply.width
        # A plane takes any buffer, though it is declared to take bytes.
        pixels: Any = self.answer.view(width * reply.height)
        if padding := bytes(plane.line_size - width):
            starts = range(0, width * reply.height, width)
            lines = ((pixels[start : start + width], padding) for start in starts)
            pixels = b"".join(itertools.chain.from_iterable(lines))
        plane.update(pixels)
        return picture

    def shut(self) -> None:
        """Wake whoever waits in `exchange`, and tell the worker that nothing more comes."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        self._connection.close()
        self.body.close()
        self.answer.close()
