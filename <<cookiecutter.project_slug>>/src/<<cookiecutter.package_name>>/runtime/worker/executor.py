"""The worker's side of the slots: the model is called here."""

import socket
from abc import ABC, abstractmethod
from typing import NamedTuple

from ..interface import InvalidRequestError, ModelProtocol
from .protocol import MAX_FIELD_CHARACTERS, ModelErrorType, shorten
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


class ModelFailure(NamedTuple):
    """Why a call of the model has failed: these fields of the slot's reply."""

    error: ModelErrorType
    message: str
    field: str | None = None


def describe_failure(error: BaseException) -> ModelFailure:
    """What the caller gets to know of an exception that the model has raised."""
    if isinstance(error, InvalidRequestError):
        field = None if error.field is None else shorten(error.field, MAX_FIELD_CHARACTERS)
        return ModelFailure("bad_request", shorten(error.message), field)
    if isinstance(error, MemoryError):
        return ModelFailure("out_of_memory", "the model ran out of memory")
    return ModelFailure("model_error", shorten(f"the model failed with {type(error).__name__}"))


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
