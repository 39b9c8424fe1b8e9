"""What the supervisor needs of the dispatcher, whatever that dispatches."""

from abc import ABC, abstractmethod

from ..errors import ErrorType
from .process import WorkerProcess
from .slot import Slot


class Dispatcher[S: Slot](ABC):
    """Hands work to the worker, through slots of `slot_type`.

    `useful` tells whether the model has done any of it since the worker started.
    """

    slot_type: type[S]

    def __init__(self) -> None:
        self.useful = False

    @property
    @abstractmethod
    def in_hand(self) -> int:
        """How many calls of the model have begun and not ended."""

    @abstractmethod
    async def serve(self, worker: WorkerProcess[S]) -> None:
        """Until the worker is lost; raises WorkerLostError, also in an ExceptionGroup."""

    @abstractmethod
    def settle(self, loss: ErrorType, *, known: bool) -> None:
        """Decide what becomes of the work that a lost worker had in hand, and count the loss once.

        `known`: the call that caused the loss has failed already; settle only the other calls.
        """
