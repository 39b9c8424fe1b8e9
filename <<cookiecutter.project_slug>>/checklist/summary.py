"""The report as Markdown, for the summary of a job."""

from .report import Report


def markdown(report: Report) -> str:
    return report.outcome
