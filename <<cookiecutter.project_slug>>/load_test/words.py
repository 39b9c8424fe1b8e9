"""Figures in words, as every sentence of the load test has them."""

import math
from typing import Literal

type Unit = Literal["frame", "job"]

SENDER = {"frame": "session", "job": "caller"}  # who sends them


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Rounded down, so that what falls short is never shown as what was asked for."""
    return f"{math.floor(round(1000 * share, 6)) / 10:g} %"


def size(bytes_: int) -> str:
    """With three digits."""
    gib = bytes_ / 2**30
    if gib < 1:
        return f"{bytes_ / 2**20:.0f} MiB"
    return f"{gib:.{2 if gib < 10 else 1}f} GiB"
