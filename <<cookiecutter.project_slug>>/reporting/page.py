"""A report as an HTML page without scripts, fonts or other files."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def template(folder: Path) -> Template:
    """The `page.html` of that folder, which extends `base.html` here."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html")
