"""Figures in words, as both programs say and show them."""

import math

UNKNOWN = "—"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """Rounded down: what is not 95 % is never called so."""
    return UNKNOWN if share is None else f"{math.floor(round(1000 * share, 6)) / 10:g} %"


def size(number: float | None) -> str:
    """In three digits or more, so that so many of them come to their sum."""
    gib = (number or 0) / 2**30
    text = f"{round(1024 * gib)} MiB" if gib < 1 else f"{round(gib, 2 if gib < 10 else 1):g} GiB"
    return UNKNOWN if number is None else text
