"""What the checklist has found in words, as all that it says and shows has them."""

import re
from collections.abc import Sequence

from .report import Finding, Report, Verdict
from load_test.words import count

MARKS: dict[Verdict, str] = {
    "passed": "● passed",
    "failed": "✕ failed",
    "blocked": "■ blocked",
    "skipped": "— skipped",
    "not tested": "? not tested",
}
MOST_NAMED = 5
CODE = re.compile(r"`([^`]+)`")


def counts(report: Report) -> str:
    numbers = {verdict: report.count(verdict) for verdict in MARKS}
    return ", ".join(f"{number} {verdict}" for verdict, number in numbers.items() if number)


def headline(report: Report) -> str:
    match report.outcome:
        case "failed":
            return f"{count(report.count('failed'), 'item')} failed"
        case "not tested":
            return f"{count(report.count('not tested'), 'item')} could not be tested"
        case "passed":
            return "Passed" if report.count("passed") else "Nothing was tested"
    return "Not finished"


def sentence(report: Report) -> str:
    quick = "quick" if report.quick else "production"
    what = "what was asked for" if report.only else f"the {quick} checklist"
    ends = {
        "passed": f"the container passes {what}",
        "failed": f"the container does not pass {what}, because of {named(report, 'failed')}",
        "not tested": f"it is not known whether the container passes {what}, because "
        f"{named(report, 'not tested')} could not be tested",
        "unfinished": f"{what} is not finished",
    }
    skipped = report.outcome == "passed" and not report.count("passed")
    end = "nothing was tested" if skipped else ends[report.outcome]
    return f"{counts(report) or 'Nothing yet'}: {end}."


def named(report: Report, verdict: Verdict) -> str:
    names = [item.id for item in report.items if item.verdict == verdict]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    *first, last = [*names[:MOST_NAMED], *more] or [verdict]
    return f"{', '.join(first)} and {last}" if first else last


def groups(items: Sequence[Finding]) -> dict[str, list[Finding]]:
    """By their headings, in the order in which these come."""
    found: dict[str, list[Finding]] = {}
    for item in items:
        found.setdefault(item.group, []).append(item)
    return found


def how(report: Report) -> str:
    """How it was tested, and what was asked for."""
    kind = "Quick: less load, and no latency was judged" if report.quick else "Full"
    return f"{kind}; only {', '.join(report.only)}" if report.only else kind
