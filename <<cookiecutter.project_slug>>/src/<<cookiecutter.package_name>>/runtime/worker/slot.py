"""The main process's end of a slot: one call of the model at a time goes through it."""

import socket
from typing import Self

from .shared_memory import SharedBuffer


class Slot:
    """A stream socket for messages, and shared memory each way for what they are about."""

    def __init__(self, connection: socket.socket, max_body_bytes: int) -> None:
        self.connection = connection
        self.body = SharedBuffer.create(max_body_bytes)
        self.answer = SharedBuffer.create(max_body_bytes)

    @classmethod
    async def open(cls, control: socket.socket, max_body_bytes: int) -> Self:
        """Make a slot and send the worker its ends of it."""
        ours, theirs = socket.socketpair()
        slot = cls(ours, max_body_bytes)
        with theirs:
            ends = [theirs.fileno(), slot.body.fd, slot.answer.fd]
            socket.send_fds(control, [b"+"], ends)
        return slot

    def close(self) -> None:
        """Close the socket, which tells the worker that nothing more comes, and free the memory."""
        self.connection.close()
        self.body.close()
        self.answer.close()
