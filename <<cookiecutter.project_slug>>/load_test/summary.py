"""The report as a few lines of Markdown, for the summary of a job."""

import re

from . import words
from .report import Report

MOST_ROWS = 40
MOST_CHARACTERS = 500  # of any one text


def markdown(report: Report) -> str:
    """Far below the 1 MiB that GitHub takes, whatever the report holds."""
    rows = [[plain(cell) for cell in words.cells(level)] for level in report.levels]
    if len(rows) > MOST_ROWS:
        rows[MOST_ROWS:] = [["…"] * len(words.HEADERS)]
    table = [words.HEADERS, ["---:", ":---", *["---:"] * (len(words.HEADERS) - 2)], *rows]
    parts = [
        f"## {plain(words.headline(report))}",
        plain(report.sentence),
        items("What to set", report.advice),
        "\n".join(f"| {' | '.join(row)} |" for row in table) if rows else "",
        items("Notes", report.notes),
        plain(f"Tested: {report.target}. Sent: {report.sample}. Memory: {report.device}."),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def items(title: str, texts: list[str]) -> str:
    lines = [f"- {plain(text)}" for text in texts[:20]]
    return "\n".join([f"**{title}**", "", *lines]) if lines else ""


def plain(text: str) -> str:
    """What it says in Markdown is the text itself, on one line."""
    line = " ".join(text[:MOST_CHARACTERS].split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", line)
