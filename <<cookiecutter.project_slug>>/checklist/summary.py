"""The report as Markdown, for a CI job's summary."""

from collections.abc import Iterable

from . import words
from .report import Finding, Report
from reporting.markdown import MOST_CHARACTERS, escape, plain

MOST_BYTES = 900_000  # GitHub accepts 1 MiB
MOST_IN_A_CELL = 200  # characters; failures have more above the table


def markdown(report: Report) -> str:
    """Smaller than the 1 MiB that GitHub accepts, whatever the report contains."""
    failed = [item for item in report.items if item.verdict in ("failed", "not tested")]
    how = f"Tested: {report.target}, in {report.seconds:g} s, with a capacity of {report.capacity}."
    parts = [
        f"## Production checklist: {words.headline(report)}",
        plain(report.sentence),
        f"{plain(how)} {plain(words.how(report))}.",
        "\n".join(told(failed)),
        "\n".join(table(report)),
    ]
    text = "\n\n".join(filter(None, parts)) + "\n"
    if len(text.encode()) < MOST_BYTES:
        return text
    lines = text.encode()[:MOST_BYTES].decode(errors="ignore").rpartition("\n")[0]
    return f"{lines}\n\nThe rest is in report.html.\n"


def told(items: Iterable[Finding]) -> Iterable[str]:
    for item in items:
        yield f"- **{plain(item.title)}** ({plain(item.id)}): {plain(item.words)}"
        yield f"  - What to do: {code(item.fix)} See <{item.link}>."


def table(report: Report) -> Iterable[str]:
    if report.items:
        yield "| Item | Verdict | What was seen | Seconds |"
        yield "| --- | --- | --- | --- |"
    for title, items in words.groups(report.items).items():
        yield f"| **{plain(title)}** | | | |"
        for item in items:
            seen = plain(item.words[:MOST_IN_A_CELL])
            mark = words.MARKS[item.verdict]
            yield f"| {plain(item.title)} | {mark} | {seen} | {item.seconds:g} |"


def code(text: str) -> str:
    """Text in backticks stays code."""
    parts = words.CODE.split(" ".join(text[:MOST_CHARACTERS].split()))
    return "".join(f"`{part}`" if n % 2 else escape(part) for n, part in enumerate(parts))
