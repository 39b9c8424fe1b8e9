"""The model's own process: `python -m <package>.engine.worker OPTIONS`, started by the supervisor.

Each lane is a socket and two frame buffers, which a runner serves on a thread of its own; the first
one has the main thread, because some frameworks want to be called there. The process ends when its
lanes close, and the kernel kills it when the supervisor dies.
"""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import structlog

from ..logs import configure_logs
from ..signals import STOP_SIGNALS
from .frames import FrameBuffer
from .interface import ModelProtocol
from .messages import Ready, WorkerOptions, decode, encode
from .runner import Runner

PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = structlog.get_logger()


def die_with(supervisor: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone")


def leave_signals_to_the_supervisor() -> None:
    """Who signals every process of the container, as systemd does, means the container. What the
    model starts does not inherit a handler that does nothing, as it would one that ignores.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)


def load(options: WorkerOptions) -> ModelProtocol:
    module, _, name = options.model.partition(":")
    model: ModelProtocol = getattr(import_module(module), name)()
    model.load(Path(options.weights_dir))
    return model


def open_lane(control: socket.socket, size: int) -> Runner:
    _, fds, _, _ = socket.recv_fds(control, 1, 3)
    connection, body, answer = fds
    return Runner(
        socket.socket(fileno=connection), FrameBuffer(body, size), FrameBuffer(answer, size)
    )


def main() -> None:
    options = decode(WorkerOptions, sys.argv[1])
    die_with(options.supervisor)
    leave_signals_to_the_supervisor()
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
        first, *others = [open_lane(control, options.max_body_bytes) for _ in range(count)]
    threads = [threading.Thread(target=runner.serve, args=(model,)) for runner in others]
    for thread in threads:
        thread.start()
    first.serve(model)
    for thread in threads:
        thread.join()
    model.close()


if __name__ == "__main__":
    main()
