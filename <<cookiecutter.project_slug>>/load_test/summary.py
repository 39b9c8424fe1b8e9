"""The report as a few lines of Markdown, for the summary of a job."""

import re

from . import words
from .report import Report

MOST_ROWS, MOST_ITEMS = 40, 20
MOST_CHARACTERS = 500  # of any one text


def markdown(report: Report) -> str:
    """Far below the 1 MiB that GitHub takes, whatever the report holds."""
    levels = [words.cells(level) for level in report.levels[:MOST_ROWS]]
    table = [words.HEADERS, ["---"] * len(words.HEADERS), *levels] if levels else []
    parts = [
        f"## {plain(words.headline(report))}",
        plain(report.sentence),
        "\n".join(f"- {plain(text)}" for text in report.advice[:MOST_ITEMS]),
        "\n".join(f"| {' | '.join(map(plain, row))} |" for row in table),
        "\n".join(f"- {plain(text)}" for text in report.notes[:MOST_ITEMS]),
        plain(f"Tested: {report.target}. Sent: {report.sample}. Memory: {report.device}."),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def plain(text: str) -> str:
    """What it says in Markdown is the text itself, on one line."""
    return escape(" ".join(text[:MOST_CHARACTERS].split()))


def escape(line: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", line)
