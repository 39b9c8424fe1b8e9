"""A model that misbehaves on request: each job is JSON that names what to `do`."""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mischief import Mischief, Order, mark
from my_model.runtime.interface.batch import Binary, Request


class Chaos(Mischief):
    def predict(self, request: Request) -> Any:
        if not request.content_type.startswith("application/json"):
            return Binary(request.body, request.content_type or "text/plain")
        order: Any = request.json()
        if "mark" in order:
            mark(order["mark"])
        return getattr(self, order["do"])(order)

    def echo(self, order: Order) -> Order:
        return order

    def pid(self, order: Order) -> int:
        return os.getpid()

    def wait_when_first(self, order: Order) -> str:
        """Hang in the first process that gets the job; the second answers, after `then` seconds."""
        if Path(order["mark"]).stat().st_size == 1:
            self.wait({"seconds": 600})
        time.sleep(order.get("then", 0))
        return "survived"

    def crash_twice(self, order: Order) -> None:
        """The second time when the file is there."""
        if Path(order["mark"]).stat().st_size > 1:
            self.wait_for_file(order)
        os.abort()

    def unsendable(self, order: Order) -> object:
        return {"object": object()}

    def not_a_number(self, order: Order) -> float:
        return float("nan")

    def raw_bytes(self, order: Order) -> object:
        return b"not in Binary"

    def bytes(self, order: Order) -> Binary:
        return Binary(bytes(order["size"]), order.get("kind", "application/octet-stream"))

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


class Echo(Chaos):
    """Gives back what it is given, whatever it is."""

    def predict(self, request: Request) -> Any:
        if request.content_type.startswith("application/json"):
            return request.json()
        return Binary(request.body)


class Bare:
    """As little as a model can be."""

    def load(self, weights: Path) -> None:
        pass

    def predict(self, request: Request) -> Any:
        return "bare"

    def close(self) -> None:
        pass
