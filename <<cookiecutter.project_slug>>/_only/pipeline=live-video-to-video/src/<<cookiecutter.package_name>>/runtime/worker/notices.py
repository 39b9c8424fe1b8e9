"""Notices to a session about its model and its media: on the event loop, in the order of events."""

from typing import NamedTuple

from ..errors import JobError


class Emitted(NamedTuple):
    """JSON texts that the model has emitted."""

    events: tuple[str, ...]
    data: tuple[str, ...]


class ParamsAccepted(NamedTuple):
    """The model works with these parameters: at the start, after a change or after a restart."""

    params: str


class ParamsRefused(NamedTuple):
    """The model does not take these parameters. The error has not been counted."""

    params: str
    error: JobError


class Fault(NamedTuple):
    """Something went wrong, and the session goes on. The error has been counted."""

    error: JobError


class WorkerLost(NamedTuple):
    """The model's process is gone, and another one is on its way. The error has been counted."""

    error: JobError


class InputChanged(NamedTuple):
    """The input's streams have changed: no more of it is read. The error has been counted."""

    error: JobError


type Notice = Emitted | ParamsAccepted | ParamsRefused | Fault | WorkerLost | InputChanged
