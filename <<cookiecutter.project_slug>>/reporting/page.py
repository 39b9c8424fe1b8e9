"""A report as one page of HTML that needs nothing else: no script, no font, no network."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def template(folder: Path) -> Template:
    """The `page.html` there, which has the look of `base.html` here."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html")
