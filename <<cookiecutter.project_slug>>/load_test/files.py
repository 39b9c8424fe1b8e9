"""Reports as files."""

from collections.abc import Mapping
from pathlib import Path


def write(folder: Path, forms: Mapping[str, str]) -> None:
    """By their endings, each at once: whoever reads meanwhile finds the old one or the new one."""
    for form, text in forms.items():
        draft = folder / f".report.{form}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(folder / f"report.{form}")
