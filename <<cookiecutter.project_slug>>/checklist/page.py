"""The report as one page of HTML that needs nothing else: no script, no font, no network."""

from .report import Report


def render(report: Report) -> str:
    return report.model_dump_json()
