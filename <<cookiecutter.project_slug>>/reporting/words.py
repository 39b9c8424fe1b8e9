"""Figures as text, for both programs."""

import math

UNKNOWN = "—"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """Rounded down, so that less than 95 % never reads as 95 %."""
    return UNKNOWN if share is None else f"{math.floor(round(1000 * share, 6)) / 10:g} %"


def size(number: float | None) -> str:
    """With three digits or more, so that the shown sizes add up."""
    gib = (number or 0) / 2**30
    text = f"{round(1024 * gib)} MiB" if gib < 1 else f"{round(gib, 2 if gib < 10 else 1):g} GiB"
    return UNKNOWN if number is None else text
