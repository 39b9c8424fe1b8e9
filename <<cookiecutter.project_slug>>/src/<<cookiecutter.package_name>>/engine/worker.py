"""The model's own process: `python -m <package>.engine.worker OPTIONS`, started by the supervisor.

Each lane is a socket and two frame buffers served by one thread, one job at a time; the first lane
has the main thread, because some frameworks want to be called there. The process ends when its
lanes close, and the kernel kills it when the supervisor dies.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Buffer, Generator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Literal

import structlog

from ..logs import configure_logs
from .frames import FrameBuffer, FrameTooLargeError
from .interface import Answer, Binary, InvalidRequestError, Json, ModelProtocol, Request
from .messages import NEXT, Dispatch, Ready, Reply, WorkerOptions, decode, encode

PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = structlog.get_logger()


class UnsendableError(Exception):
    """The model returned something that can't be brought to the caller."""


class Lane:
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
            return Reply("error", error="bad_request", message=error.message, field=error.field)
        except UnsendableError as error:
            log.error("answer refused", reason=str(error))
            return Reply("error", error="model_error", message=str(error))
        except MemoryError:
            log.exception("model ran out of memory")
            return Reply("error", error="out_of_memory", message="the model ran out of memory")
        except BaseException as error:
            log.exception("model failed")
            message = f"the model failed with {type(error).__name__}"
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
            return Reply(kind, self._write(answer.data), answer.content_type)
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


def die_with(supervisor: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone")


def load(options: WorkerOptions) -> ModelProtocol:
    module, _, name = options.model.partition(":")
    model: ModelProtocol = getattr(import_module(module), name)()
    model.load(Path(options.weights_dir))
    return model


def open_lane(control: socket.socket, size: int) -> Lane:
    _, fds, _, _ = socket.recv_fds(control, 1, 3)
    connection, body, answer = fds
    return Lane(
        socket.socket(fileno=connection), FrameBuffer(body, size), FrameBuffer(answer, size)
    )


def main() -> None:
    options = decode(WorkerOptions, sys.argv[1])
    die_with(options.supervisor)
    configure_logs(options.log_format, options.log_level)
    started = time.monotonic()
    try:
        model = load(options)
    except Exception:
        log.exception("model failed to load")
        sys.exit(1)
    with socket.socket(fileno=options.control) as control:
        count = max(1, min(getattr(model, "MAX_PARALLEL", 1), options.capacity))
        control.sendall(encode(Ready(count, time.monotonic() - started)))
        lanes = [open_lane(control, options.max_body_bytes) for _ in range(count)]
    threads = [threading.Thread(target=lane.serve, args=(model,)) for lane in lanes[1:]]
    for thread in threads:
        thread.start()
    lanes[0].serve(model)
    for thread in threads:
        thread.join()
    model.close()


if __name__ == "__main__":
    main()
