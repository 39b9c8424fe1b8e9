"""Markdown, for a CI job's summary."""

import re

MOST_CHARACTERS = 500  # of any one text


def plain(text: str) -> str:
    """Markdown on one line that shows exactly this text."""
    return escape(" ".join(text[:MOST_CHARACTERS].split()))


def escape(line: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", line)
