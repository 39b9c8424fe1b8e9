"""The worker's side of the slots for frames: calls the model for one session after the other."""

import json
import time
from contextlib import suppress
from typing import Any

import numpy as np
import structlog

from ..interface.live import InvalidRequestError, LiveModel, Picture, Session, StreamProtocol
from .executor import Executor, WorkerSlot, describe_failure
from .frame_protocol import Reply, Task
from .protocol import decode, encode, shorten
from .shared_memory import SharedBuffer, TooLargeError

REPEAT_SECONDS = 1

log = structlog.get_logger()


class BadPictureError(Exception):
    """The model returned something that is no picture."""


class OpenStream:
    """One session's state. A session is in one slot at a time, so that nothing is locked."""

    def __init__(self, session: Session, state: StreamProtocol[Any], params: Any) -> None:
        self.session = session
        self.state = state
        self.params = params
        self.logged = float("-inf")


class FrameExecutor(Executor[LiveModel]):
    def __init__(self, model: LiveModel) -> None:
        super().__init__(model)
        self._streams: dict[int, OpenStream] = {}

    def serve(self, slot: WorkerSlot) -> None:
        lines = slot.connection.makefile("rb")
        # The supervisor may close the slot before it has read the reply.
        with suppress(ConnectionError):
            while line := lines.readline():
                task = decode(Task, line)
                with structlog.contextvars.bound_contextvars(session_id=task.session_id):
                    slot.connection.sendall(encode(self._reply(slot, task)))

    def close_model(self) -> None:
        """Close the sessions' states that are left, then the model."""
        for stream in self._streams.values():
            try:
                stream.state.close()
            except Exception:
                log.exception("model failed")
        super().close_model()

    def _reply(self, slot: WorkerSlot, task: Task) -> Reply:
        stream = self._streams.get(task.stream)
        session = stream.session if stream else Session(task.session_id)
        try:
            reply = self._perform(slot, task, session, stream)
        except InvalidRequestError as error:
            reply = failed(error)
        except MemoryError as error:
            log.exception("model ran out of memory")
            reply = failed(error)
        except BadPictureError as error:
            log_fault(stream)
            reply = Reply("error", error="model_error", message=shorten(error))
        except BaseException as error:
            log_fault(stream)
            reply = failed(error)
        reply = reply._replace(events=tuple(session.events), data=tuple(session.data))
        session.events.clear()
        session.data.clear()
        return reply

    def _perform(
        self, slot: WorkerSlot, task: Task, session: Session, stream: OpenStream | None
    ) -> Reply:
        match task.kind:
            case "params" if stream:
                stream.params = stream.state.update_params(json.loads(task.params))
            case "params":
                self._open(task, self._model.open(session), session)
            case "close" if stream:
                del self._streams[task.stream]
                stream.state.close()
            case "frame" if stream:
                picture = read_picture(slot.body, task)
                return write_picture(
                    slot.answer, stream.state.process_frame(picture, stream.params)
                )
        return Reply("done")

    def _open(self, task: Task, state: StreamProtocol[Any], session: Session) -> None:
        try:
            params = state.update_params(json.loads(task.params))
            self._streams[task.stream] = OpenStream(session, state, params)
        except BaseException:
            state.close()
            raise


def failed(error: BaseException) -> Reply:
    return Reply("error", **describe_failure(error)._asdict())


def read_picture(body: SharedBuffer, task: Task) -> Picture:
    flat = np.frombuffer(body.view(3 * task.height * task.width), np.uint8)
    return flat.reshape(task.height, task.width, 3)


def write_picture(answer: SharedBuffer, picture: object) -> Reply:
    """Raises BadPictureError."""
    if picture is None:
        return Reply("dropped")
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        kind = getattr(picture, "dtype", type(picture).__name__)
        raise BadPictureError(f"process_frame returned {kind}, not an array of uint8")
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape) < 2:
        words = "not (height, width, 3) of at least 2 by 2"
        raise BadPictureError(f"the picture's shape is {picture.shape}, {words}")
    try:
        answer.write(np.ascontiguousarray(picture))
    except TooLargeError as error:
        raise BadPictureError(f"larger than BYOC_MAX_BODY_BYTES: {error}") from None
    return Reply("picture", picture.shape[0], picture.shape[1])


def log_fault(stream: OpenStream | None) -> None:
    """Log the model's exception with its traceback, at most once a second for each session."""
    now = time.monotonic()
    if stream is not None:
        if now - stream.logged < REPEAT_SECONDS:
            return
        stream.logged = now
    log.exception("model failed")
