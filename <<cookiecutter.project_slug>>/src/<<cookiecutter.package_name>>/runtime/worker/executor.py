"""The worker's side of the slots: the model is called here."""

import socket
from abc import ABC, abstractmethod
from typing import NamedTuple

from ..interface import ModelProtocol
from .shared_memory import SharedBuffer


class WorkerSlot(NamedTuple):
    """The worker's end of a slot."""

    connection: socket.socket
    body: SharedBuffer
    answer: SharedBuffer

    @classmethod
    def receive(cls, control: socket.socket, size: int) -> "WorkerSlot":
        """The next one that the supervisor sends, whose buffers have `size` bytes."""
        _, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        connection, body, answer = descriptors
        return cls(
            socket.socket(fileno=connection), SharedBuffer(body, size), SharedBuffer(answer, size)
        )


class Executor[M: ModelProtocol](ABC):
    """Calls the model for what comes through the slots, each of which has a thread of its own."""

    def __init__(self, model: M) -> None:
        self._model = model

    @abstractmethod
    def serve(self, slot: WorkerSlot) -> None:
        """Until the supervisor closes the slot."""

    def close_model(self) -> None:
        """Close the model, once all slots are closed."""
        self._model.close()
