"""The worker's side of the slots for jobs: the model is called for one job of a slot at a time."""

import json
from collections.abc import Buffer, Generator
from contextlib import closing
from typing import IO, Literal

import structlog

from ..interface.batch import Answer, BatchModel, Binary, InvalidRequestError, Json, Request
from .executor import Executor, WorkerSlot, describe_failure
from .job_protocol import NEXT, Dispatch, Reply
from .protocol import MAX_FIELD_CHARACTERS, decode, encode, shorten
from .shared_memory import SharedBuffer, TooLargeError

log = structlog.get_logger()


class UnsendableError(Exception):
    """The model returned something that can't be sent to the caller."""


class JobExecutor(Executor[BatchModel]):
    def serve(self, slot: WorkerSlot) -> None:
        lines = slot.connection.makefile("rb")
        while line := lines.readline():
            job = decode(Dispatch, line)
            with structlog.contextvars.bound_contextvars(
                session_id=job.session_id, request_id=job.request_id
            ):
                send(slot, self._run(job, slot, lines))

    def _run(self, job: Dispatch, slot: WorkerSlot, lines: IO[bytes]) -> Reply:
        """Call the model; the reply that ends the job."""
        body = slot.body.view(job.size)
        request = Request(body, job.content_type, job.session_id, job.request_id)
        try:
            answer = self._model.predict(request)
            if isinstance(answer, Generator):
                return stream(answer, slot, lines)
            return put("answer", answer, slot.answer)
        except InvalidRequestError as error:
            return failed(error)
        except UnsendableError as error:
            message = shorten(error)
            log.error("answer refused", reason=message)
            return Reply("error", error="model_error", message=message)
        except MemoryError as error:
            log.exception("model ran out of memory")
            return failed(error)
        except BaseException as error:
            log.exception("model failed")
            return failed(error)


def failed(error: BaseException) -> Reply:
    return Reply("error", **describe_failure(error)._asdict())


def send(slot: WorkerSlot, reply: Reply) -> None:
    slot.connection.sendall(encode(reply))


def stream(answers: Generator[Json], slot: WorkerSlot, lines: IO[bytes]) -> Reply:
    """Send each of the values when the one before it has been taken from the slot."""
    with closing(yielded(answers)) as values:
        for value in values:
            send(slot, put("chunk", value, slot.answer))
            if lines.readline() != NEXT:
                break
    return Reply("end")


def yielded(answers: Generator[Json, None, object]) -> Generator[Json]:
    """What the generator yields; a value that it returns would be lost."""
    if (yield from answers) is not None:
        raise UnsendableError("predict yields, so that it can't return a value as well")


def put(kind: Literal["answer", "chunk"], answer: Answer, buffer: SharedBuffer) -> Reply:
    """Write the answer into the buffer; return the reply that describes it."""
    if isinstance(answer, Binary) and kind == "answer":
        name = answer.content_type
        if len(name) > MAX_FIELD_CHARACTERS or not (name.isascii() and name.isprintable()):
            raise UnsendableError(f"no content type: {name!r}")
        return Reply(kind, write(answer.data, buffer), name)
    try:
        # ASCII, because some readers of events also end lines at Unicode line separators.
        ascii_only = kind == "chunk"
        text = json.dumps(answer, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))
        return Reply(kind, write(text.encode(), buffer), "application/json")
    except (TypeError, ValueError) as error:
        hint = "put bytes and arrays into Binary" if kind == "answer" else "a stream is of JSON"
        raise UnsendableError(f"the model's answer is not JSON: {error}; {hint}") from None


def write(data: Buffer, buffer: SharedBuffer) -> int:
    try:
        return buffer.write(data)
    except TooLargeError as error:
        message = f"the model's answer is larger than BYOC_MAX_BODY_BYTES: {error}"
        raise UnsendableError(message) from None
