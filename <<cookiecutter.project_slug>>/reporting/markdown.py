"""Markdown, for the summary of a job."""

import re

MOST_CHARACTERS = 500  # of any one text


def plain(text: str) -> str:
    """What it says in Markdown is the text itself, on one line."""
    return escape(" ".join(text[:MOST_CHARACTERS].split()))


def escape(line: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", line)
