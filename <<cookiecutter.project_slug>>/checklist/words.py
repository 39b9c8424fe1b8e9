"""The results in words, for the terminal, the page and the summary."""

import re
from collections.abc import Sequence

from .report import Finding, Report, Verdict
from reporting.words import count

MARKS: dict[Verdict, str] = {
    "passed": "● passed",
    "failed": "✕ failed",
    "blocked": "■ blocked",
    "skipped": "— skipped",
    "not tested": "? not tested",
}
CODE = re.compile(r"`([^`]+)`")


def counts(report: Report) -> str:
    numbers = {verdict: report.count(verdict) for verdict in MARKS}
    return ", ".join(f"{number} {verdict}" for verdict, number in numbers.items() if number)


def headline(report: Report) -> str:
    failed, unknown = (count(report.count(each), "item") for each in ("failed", "not tested"))
    return {
        "failed": f"{failed} failed",
        "not tested": f"{unknown} could not be tested",
        "passed": "Passed" if report.count("passed") else "Nothing was tested",
        "unfinished": "Not finished",
    }[report.outcome]


def sentence(report: Report) -> str:
    kind = "quick" if report.quick else "production"
    what = "what was asked for" if report.only else f"the {kind} checklist"
    tested = f"what could be tested of {what}" if report.count("skipped") else what
    names = ", ".join(item.id for item in report.items if item.verdict == report.outcome)
    end = {
        "failed": f"the container does not pass {what}, because of {names}",
        "not tested": f"it is not known whether the container passes {what}, because of {names}",
        "passed": f"the container passes {tested}"
        if report.count("passed")
        else "nothing was tested",
        "unfinished": f"{what} is not finished",
    }[report.outcome]
    return f"{counts(report) or 'Nothing yet'}: {end}."


def groups(items: Sequence[Finding]) -> dict[str, list[Finding]]:
    """The items by heading, in the order of the report."""
    found: dict[str, list[Finding]] = {}
    for item in items:
        found.setdefault(item.group, []).append(item)
    return found


def how(report: Report) -> str:
    """Quick or full, and which items were asked for."""
    kind = "Quick: less load, and latency was not judged" if report.quick else "Full"
    return f"{kind}; only {', '.join(report.only)}" if report.only else kind
