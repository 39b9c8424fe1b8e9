"""The main process's end of a slot for frames, used by a thread that may wait."""

import itertools
import socket
import time
from collections.abc import Buffer
from contextlib import suppress
from typing import Any

from av import VideoFrame

from ..errors import WorkerLostError
from .frame_protocol import Reply, Task
from .protocol import MAX_LINE_BYTES, decode, encode
from .slot import Slot

LEAST_SECONDS = 0.001  # to a socket, 0 means not to wait


class FrameSlot(Slot):
    def put(self, picture: VideoFrame) -> None:
        """Copy an rgb24 picture to where the worker reads it."""
        plane, width = picture.planes[0], 3 * picture.width
        pixels: Buffer = plane
        if plane.line_size > width:
            lines, starts = memoryview(plane), range(0, plane.buffer_size, plane.line_size)
            pixels = b"".join(lines[start : start + width] for start in starts)
        self.body.write(pixels)

    def exchange(self, task: Task, seconds: float) -> Reply:
        """Send the worker a task and return its reply; raises TimeoutError after `seconds`.

        Raises WorkerLostError when the process is gone or its reply makes no sense.
        """
        end = time.monotonic() + seconds
        self.connection.settimeout(seconds)
        try:
            self.connection.sendall(encode(task))
            reply = decode(Reply, self._receive(end))
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise WorkerLostError from error
        if reply.kind == "picture" and not self._holds(reply):
            raise WorkerLostError
        return reply

    def _receive(self, end: float) -> bytes:
        """The one line that is the reply, until `end` by the clock of time.monotonic()."""
        line = b""
        while not line.endswith(b"\n"):
            self.connection.settimeout(max(end - time.monotonic(), LEAST_SECONDS))
            part = self.connection.recv(MAX_LINE_BYTES)
            line += part
            if not part or len(line) > MAX_LINE_BYTES:
                raise WorkerLostError
        return line

    def _holds(self, reply: Reply) -> bool:
        size = 3 * reply.height * reply.width
        return min(reply.height, reply.width) > 0 and size <= self.answer.size

    def take(self, reply: Reply) -> VideoFrame:
        """The picture that the worker replied with, as rgb24."""
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
        """Wake whoever waits in `exchange`; the worker sees that nothing more comes."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        super().close()
