"""The report as an HTML page, in the style of the load test's."""

from pathlib import Path

from markupsafe import Markup

from . import words
from .report import Report
from reporting.page import template


def render(report: Report) -> str:
    return template(Path(__file__).parent).render(report=report, words=words, code=code)


def code(text: str) -> Markup:
    """Text in backticks becomes code."""
    parts = words.CODE.split(text)
    marked = Markup("<code>{}</code>")
    return Markup("").join(marked.format(p) if n % 2 else p for n, p in enumerate(parts))
