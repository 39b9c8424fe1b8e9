"""The report as one page of HTML, in the load test's style."""

from pathlib import Path

from markupsafe import Markup

from . import words
from .report import Report
from reporting.page import template


def render(report: Report) -> str:
    return template(Path(__file__).parent).render(report=report, words=words, code=code)


def code(text: str) -> Markup:
    """What stands in backticks in our own words is code."""
    parts = words.CODE.split(text)
    marked = Markup("<code>{}</code>")
    return Markup("").join(marked.format(p) if n % 2 else p for n, p in enumerate(parts))
