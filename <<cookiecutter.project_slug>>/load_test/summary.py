"""The report as a few lines of Markdown, for a CI job's summary."""

from . import words
from .report import Report
from reporting.markdown import plain

MOST_ROWS, MOST_ITEMS = 40, 20


def markdown(report: Report) -> str:
    """Far smaller than the 1 MiB that GitHub accepts, whatever the report contains."""
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
