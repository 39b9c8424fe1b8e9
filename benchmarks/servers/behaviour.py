"""The model that every server runs: each job names what to `do`."""

import base64
import ctypes
import time
from typing import Any

WAIT_SECONDS = 0.05
HOLD_MICROSECONDS = 1_000_000

# An alias of the older kind: FastAPI takes the newer for a query parameter.
Order = dict[str, Any]


def act(order: Order) -> Order:
    match order["do"]:
        case "wait":  # gives up the interpreter lock, as work on a GPU does
            time.sleep(WAIT_SECONDS)
        case "spin":  # pure Python
            for _ in range(order["count"]):
                pass
        case "hold":  # an extension that keeps the interpreter lock
            ctypes.PyDLL(None).usleep(HOLD_MICROSECONDS)
        case "frame":  # where a server takes no raw body
            frame = base64.b64decode(order["frame"])
            return {"frame": base64.b64encode(frame).decode()}
    return order
