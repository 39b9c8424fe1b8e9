"""The worker's end of a lane: calls the model for one session after the other."""

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
import structlog

from .exchange import Reply, Task
from .frames import FrameBuffer, FrameTooLargeError
from .interface import InvalidRequestError, ModelProtocol, Picture, Session, StreamProtocol
from .messages import MAX_FIELD_CHARACTERS, decode, encode, shorten

REPEAT_SECONDS = 1

log = structlog.get_logger()


class BadPictureError(Exception):
    """The model returned something that is no picture."""


class Stream:
    """One session's state. A session is on one lane at a time, so that nothing is locked."""

    lanes = 0
    lock = threading.Lock()
    opened: dict[int, "Stream"] = {}  # noqa: RUF012 - of the whole process, whatever the lane

    def __init__(self, session: Session, state: StreamProtocol[Any], params: Any) -> None:
        self.session = session
        self.state = state
        self.params = params
        self.logged = float("-inf")


class Runner:
    def __init__(self, connection: socket.socket, body: FrameBuffer, answer: FrameBuffer) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._body = body
        self._answer = answer

    def serve(self, model: ModelProtocol) -> None:
        """Answer tasks until the supervisor closes the lane; the last one to end frees the rest."""
        with Stream.lock:
            Stream.lanes += 1
        # The supervisor may close the lane before it has heard the answer.
        with suppress(ConnectionError):
            while line := self._lines.readline():
                task = decode(Task, line)
                with structlog.contextvars.bound_contextvars(session_id=task.session_id):
                    self._connection.sendall(encode(self._answer_to(model, task)))
        with Stream.lock:
            Stream.lanes -= 1
            left = [] if Stream.lanes else list(Stream.opened.values())
        for stream in left:
            try:
                stream.state.close()
            except Exception:
                log.exception("model failed")

    def _answer_to(self, model: ModelProtocol, task: Task) -> Reply:
        stream = Stream.opened.get(task.stream)
        session = stream.session if stream else Session(task.session_id)
        try:
            reply = self._run(model, task, session, stream)
        except InvalidRequestError as error:
            field = None if error.field is None else shorten(error.field, MAX_FIELD_CHARACTERS)
            message = shorten(error.message)
            reply = Reply("error", error="bad_request", message=message, field=field)
        except MemoryError:
            log.exception("model ran out of memory")
            reply = Reply("error", error="out_of_memory", message="the model ran out of memory")
        except BadPictureError as error:
            log_fault(stream)
            reply = Reply("error", error="model_error", message=shorten(error))
        except BaseException as error:
            log_fault(stream)
            message = shorten(f"the model failed with {type(error).__name__}")
            reply = Reply("error", error="model_error", message=message)
        reply = reply._replace(events=tuple(session.events), data=tuple(session.data))
        session.events.clear()
        session.data.clear()
        return reply

    def _run(
        self, model: ModelProtocol, task: Task, session: Session, stream: Stream | None
    ) -> Reply:
        match task.kind:
            case "params" if stream:
                stream.params = stream.state.update_params(json.loads(task.params))
            case "params":
                self._open(task, model.open(session), session)
            case "close" if stream:
                del Stream.opened[task.stream]
                stream.state.close()
            case "frame" if stream:
                return self._put(stream.state.process_frame(self._picture(task), stream.params))
        return Reply("done")

    def _open(self, task: Task, state: StreamProtocol[Any], session: Session) -> None:
        try:
            params = state.update_params(json.loads(task.params))
            Stream.opened[task.stream] = Stream(session, state, params)
        except BaseException:
            state.close()
            raise

    def _picture(self, task: Task) -> Picture:
        flat = np.frombuffer(self._body.view(3 * task.height * task.width), np.uint8)
        return flat.reshape(task.height, task.width, 3)

    def _put(self, picture: object) -> Reply:
        if picture is None:
            return Reply("dropped")
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
            kind = getattr(picture, "dtype", type(picture).__name__)
            raise BadPictureError(f"process_frame returned {kind}, not an array of uint8")
        if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape) < 2:
            words = "not (height, width, 3) of at least 2 by 2"
            raise BadPictureError(f"the picture's shape is {picture.shape}, {words}")
        try:
            self._answer.write(np.ascontiguousarray(picture))
        except FrameTooLargeError as error:
            raise BadPictureError(f"larger than BYOC_MAX_BODY_BYTES: {error}") from None
        return Reply("picture", picture.shape[0], picture.shape[1])


def log_fault(stream: Stream | None) -> None:
    """With its traceback, but one that comes with every frame not for every frame."""
    now = time.monotonic()
    if stream is not None:
        if now - stream.logged < REPEAT_SECONDS:
            return
        stream.logged = now
    log.exception("model failed")
