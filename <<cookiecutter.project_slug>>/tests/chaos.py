"""A model that misbehaves on request: each job is JSON that names what to `do`."""

import ctypes
import logging
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from <<cookiecutter.package_name>>.engine.interface import (
    Binary,
    InvalidRequestError,
    Request,
)

type Order = dict[str, Any]


def mark(path: str) -> None:
    """One more byte in a file: tests see from its size how often this was reached."""
    with Path(path).open("ab") as file:
        file.write(b".")


class Chaos:
    MAX_PARALLEL = int(os.environ.get("CHAOS_PARALLEL", "1"))

    def load(self, weights: Path) -> None:
        order: Order = {"seconds": 600}
        if "CHAOS_MARK" in os.environ:
            order |= {"mark": os.environ["CHAOS_MARK"], "file": os.environ.get("CHAOS_FILE")}
            mark(order["mark"])
        getattr(self, os.environ.get("CHAOS_LOAD", "nothing"))(order)

    def predict(self, request: Request) -> Any:
        if not request.content_type.startswith("application/json"):
            return Binary(request.body, request.content_type or "text/plain")
        order: Any = request.json()
        if "mark" in order:
            mark(order["mark"])
        return getattr(self, order["do"])(order)

    def close(self) -> None:
        if "CHAOS_CLOSED" in os.environ:
            mark(os.environ["CHAOS_CLOSED"])
        getattr(self, os.environ.get("CHAOS_CLOSE", "nothing"))({"seconds": 600})

    def nothing(self, order: Order) -> None:
        pass

    def echo(self, order: Order) -> Order:
        return order

    def pid(self, order: Order) -> int:
        return os.getpid()

    def wait(self, order: Order) -> str:
        time.sleep(order["seconds"])
        return "waited"

    def wait_for_file(self, order: Order) -> str:
        while not Path(order["file"]).exists():
            time.sleep(0.01)
        return "seen"

    def wait_when_first(self, order: Order) -> str:
        """Hang in the first process that gets the job, answer from the second."""
        if Path(order["mark"]).stat().st_size == 1:
            self.wait({"seconds": 600})
        return "survived"

    def start_by_plan(self, order: Order) -> None:
        """CHAOS_PLAN says of each start whether it succeeds, `+`, or fails, `-`."""
        start = Path(order["mark"]).stat().st_size
        if os.environ["CHAOS_PLAN"][start - 1] == "-":
            os.abort()

    def wait_for_file_when_second(self, order: Order) -> None:
        if Path(order["mark"]).stat().st_size > 1:
            self.wait_for_file(order)

    def hold(self, order: Order) -> str:
        """Sleep in C without giving up the interpreter lock."""
        ctypes.PyDLL(None).usleep(int(1_000_000 * order["seconds"]))
        return "held"

    def spin(self, order: Order) -> str:
        end = time.monotonic() + order["seconds"]
        while time.monotonic() < end:
            pass
        return "spun"

    def crash(self, order: Order) -> None:
        os.abort()

    def crash_twice(self, order: Order) -> None:
        """The second time when the file is there."""
        if Path(order["mark"]).stat().st_size > 1:
            self.wait_for_file(order)
        os.abort()

    def child(self, order: Order) -> int:
        """Start a process that stays."""
        return subprocess.Popen(["sleep", "600"]).pid

    def leave(self, order: Order) -> None:
        sys.exit(3)

    def fail(self, order: Order) -> None:
        raise ValueError("a detail that is not for the caller")

    def refuse(self, order: Order) -> None:
        raise InvalidRequestError("seconds: must be positive", "seconds")

    def log(self, order: Order) -> None:
        logging.getLogger("model").warning("a line of the model")

    def exhaust(self, order: Order) -> None:
        bytearray(1024**5)

    def unsendable(self, order: Order) -> object:
        return {"object": object()}

    def not_a_number(self, order: Order) -> float:
        return float("nan")

    def raw_bytes(self, order: Order) -> object:
        return b"not in Binary"

    def bytes(self, order: Order) -> Binary:
        return Binary(bytes(order["size"]))

    def stream(self, order: Order) -> Generator[Any]:
        """`values`, marking `closed` at the end, however it comes; then what `then` says."""
        try:
            yield from order["values"]
            if "then" in order:
                getattr(self, order["then"])(order)
        finally:
            if "closed" in order:
                mark(order["closed"])

    def stream_object(self, order: Order) -> Generator[Any]:
        yield from (1, 2)
        yield object()

    def drip(self, order: Order) -> Generator[Any]:
        while True:
            self.wait(order)
            yield "drop"

    def stream_and_return(self, order: Order) -> Generator[Any, None, str]:
        yield from order["values"]
        return "lost"

    def endless(self, order: Order) -> Generator[Any]:
        try:
            while True:
                yield {"text": "x" * 10_000}
        finally:
            mark(order["closed"])


class Bare:
    """As little as a model can be."""

    def load(self, weights: Path) -> None:
        pass

    def predict(self, request: Request) -> Any:
        return "bare"

    def close(self) -> None:
        pass
