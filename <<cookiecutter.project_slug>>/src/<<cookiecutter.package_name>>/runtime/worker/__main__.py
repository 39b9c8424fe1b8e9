"""The model's own process: `python -m <package>.runtime.worker OPTIONS`, run by the supervisor.

Each slot is served on a thread of its own; the first one has the main thread, because some
frameworks want to be called there. The process ends when its slots are closed, and the kernel kills
it when the supervisor dies.
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
from typing import Any

import structlog

from ..interface import ModelProtocol
from ..logs import configure_logs
from ..signals import STOP_SIGNALS
from .executor import Executor, WorkerSlot
from .protocol import Ready, WorkerOptions, decode, encode

PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = structlog.get_logger()


def die_with(supervisor: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone")


def leave_signals_to_the_supervisor() -> None:
    """Do nothing on a stop signal, because systemd and others send it to every process, and the
    supervisor ends this one. A handler is not inherited by what the model starts, SIG_IGN would be.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)


def load_class(text: str) -> Any:
    """The class that `module:Class` names."""
    module, _, name = text.partition(":")
    return getattr(import_module(module), name)


def load_model(options: WorkerOptions) -> ModelProtocol:
    model: ModelProtocol = load_class(options.model)()
    model.load(Path(options.weights_dir))
    return model


def main() -> None:
    options = decode(WorkerOptions, sys.argv[1])
    die_with(options.supervisor)
    leave_signals_to_the_supervisor()
    configure_logs(options.log_format, options.log_level)
    executor_type: type[Executor[ModelProtocol]] = load_class(options.executor)
    started = time.monotonic()
    try:
        model = load_model(options)
    except Exception:
        log.exception("model failed to load")
        sys.exit(1)
    executor = executor_type(model)
    with socket.socket(fileno=options.control) as control:
        count = max(1, min(getattr(model, "MAX_PARALLEL", 1), options.capacity))
        control.sendall(encode(Ready(count, time.monotonic() - started)))
        slots = [WorkerSlot.receive(control, options.max_body_bytes) for _ in range(count)]
    threads = [threading.Thread(target=executor.serve, args=(slot,)) for slot in slots[1:]]
    for thread in threads:
        thread.start()
    executor.serve(slots[0])
    for thread in threads:
        thread.join()
    executor.close_model()


if __name__ == "__main__":
    main()
