"""What a model can do wrong, whatever it works on: each method takes an order, a JSON object."""

import ctypes
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from my_model.runtime.interface import InvalidRequestError

type Order = dict[str, Any]


def mark(path: str) -> None:
    """One more byte in a file: tests see from its size how often this was reached."""
    with Path(path).open("ab") as file:
        file.write(b".")


class Mischief:
    """CHAOS_LOAD and CHAOS_CLOSE name what `load` and `close` do."""

    MAX_PARALLEL = int(os.environ.get("CHAOS_PARALLEL", "1"))

    def load(self, weights: Path) -> None:
        order: Order = {"seconds": 600}
        if "CHAOS_MARK" in os.environ:
            order |= {"mark": os.environ["CHAOS_MARK"], "file": os.environ.get("CHAOS_FILE")}
            mark(order["mark"])
        getattr(self, os.environ.get("CHAOS_LOAD", "nothing"))(order)

    def close(self) -> None:
        if "CHAOS_CLOSED" in os.environ:
            mark(os.environ["CHAOS_CLOSED"])
        getattr(self, os.environ.get("CHAOS_CLOSE", "nothing"))({"seconds": 600})

    def nothing(self, order: Order) -> None:
        pass

    def wait(self, order: Order) -> str:
        time.sleep(order["seconds"])
        return "waited"

    def wait_for_file(self, order: Order) -> str:
        while not Path(order["file"]).exists():
            time.sleep(0.01)
        return "seen"

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

    def child(self, order: Order) -> int:
        """Start a process that stays."""
        return subprocess.Popen(["sleep", "600"]).pid

    def leave(self, order: Order) -> None:
        sys.exit(3)

    def fail(self, order: Order) -> None:
        raise ValueError("a detail that is not for the caller")

    def refuse(self, order: Order) -> None:
        raise InvalidRequestError("seconds: must be positive", "seconds")

    def repeat(self, order: Order) -> None:
        raise InvalidRequestError(order["text"], order["text"])

    def garble(self, order: Order) -> None:
        """Write into the slot, as whoever confuses two files does."""
        line = order.get("times", 1) * order["line"].encode("latin-1")
        for file in Path("/proc/self/fd").iterdir():
            if file.is_symlink() and file.readlink().name.startswith("socket:"):
                with open(int(file.name), "wb", closefd=False) as slot:
                    slot.write(line)
        self.wait({"seconds": 600})

    def log(self, order: Order) -> None:
        logging.getLogger("model").warning("a line of the model")

    def exhaust(self, order: Order) -> None:
        bytearray(1024**5)
