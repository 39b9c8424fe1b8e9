"""Figures in words, as every sentence of the load test has them."""

import math
from typing import Literal

type Unit = Literal["frame", "job"]

SENDER = {"frame": "session", "job": "caller"}  # who sends them


def count(number: int, noun: str = "session") -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Rounded down: what is not 95 % is never called so."""
    return f"{math.floor(round(1000 * share, 6)) / 10:g} %"


def size(number: int) -> str:
    """In three digits or more, so that so many of them come to their sum."""
    gib = number / 2**30
    if gib < 1:
        return f"{round(number / 2**20)} MiB"
    return f"{round(gib, 2 if gib < 10 else 1):g} GiB"
