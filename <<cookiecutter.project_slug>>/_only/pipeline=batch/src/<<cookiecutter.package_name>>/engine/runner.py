"""The worker's end of a lane: the model is called for one job at a time."""

import json
import socket
from collections.abc import Buffer, Generator
from contextlib import closing
from typing import Literal

import structlog

from .exchange import NEXT, Dispatch, Reply
from .frames import FrameBuffer, FrameTooLargeError
from .interface import Answer, Binary, InvalidRequestError, Json, ModelProtocol, Request
from .messages import MAX_FIELD_CHARACTERS, decode, encode, shorten

log = structlog.get_logger()


class UnsendableError(Exception):
    """The model returned something that can't be brought to the caller."""


class Runner:
    def __init__(self, connection: socket.socket, body: FrameBuffer, answer: FrameBuffer) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._body = body
        self._answer = answer

    def serve(self, model: ModelProtocol) -> None:
        """Answer jobs until the supervisor closes the lane."""
        while line := self._lines.readline():
            job = decode(Dispatch, line)
            with structlog.contextvars.bound_contextvars(
                session_id=job.session_id, request_id=job.request_id
            ):
                self._send(self._run(model, job))

    def _run(self, model: ModelProtocol, job: Dispatch) -> Reply:
        body = self._body.view(job.size)
        try:
            answer = model.predict(Request(body, job.content_type, job.session_id, job.request_id))
            if isinstance(answer, Generator):
                return self._stream(answer)
            return self._put("answer", answer)
        except InvalidRequestError as error:
            field = None if error.field is None else shorten(error.field, MAX_FIELD_CHARACTERS)
            message = shorten(error.message)
            return Reply("error", error="bad_request", message=message, field=field)
        except UnsendableError as error:
            message = shorten(error)
            log.error("answer refused", reason=message)
            return Reply("error", error="model_error", message=message)
        except MemoryError:
            log.exception("model ran out of memory")
            return Reply("error", error="out_of_memory", message="the model ran out of memory")
        except BaseException as error:
            log.exception("model failed")
            message = shorten(f"the model failed with {type(error).__name__}")
            return Reply("error", error="model_error", message=message)

    def _stream(self, answers: Generator[Json]) -> Reply:
        with closing(yielded(answers)) as values:
            for answer in values:
                self._send(self._put("chunk", answer))
                if self._lines.readline() != NEXT:
                    break
        return Reply("end")

    def _put(self, kind: Literal["answer", "chunk"], answer: Answer) -> Reply:
        if isinstance(answer, Binary) and kind == "answer":
            name = answer.content_type
            if len(name) > MAX_FIELD_CHARACTERS or not (name.isascii() and name.isprintable()):
                raise UnsendableError(f"no content type: {name!r}")
            return Reply(kind, self._write(answer.data), name)
        try:
            # Some readers of events take more characters for the end of a line than there are.
            ascii_only = kind == "chunk"
            text = json.dumps(
                answer, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":")
            )
            return Reply(kind, self._write(text.encode()), "application/json")
        except (TypeError, ValueError) as error:
            hint = "put bytes and arrays into Binary" if kind == "answer" else "a stream is of JSON"
            raise UnsendableError(f"the model's answer is not JSON: {error}; {hint}") from None

    def _write(self, data: Buffer) -> int:
        try:
            return self._answer.write(data)
        except FrameTooLargeError as error:
            message = f"the model's answer is larger than BYOC_MAX_BODY_BYTES: {error}"
            raise UnsendableError(message) from None

    def _send(self, reply: Reply) -> None:
        self._connection.sendall(encode(reply))


def yielded(answers: Generator[Json, None, object]) -> Generator[Json]:
    """What the generator yields; a value that it returns would be lost."""
    if (yield from answers) is not None:
        raise UnsendableError("predict yields, so that it can't return a value as well")
