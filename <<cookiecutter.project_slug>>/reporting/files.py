"""Writes reports to files."""

from pathlib import Path

from pydantic import BaseModel


def write(folder: Path, report: BaseModel, **forms: str) -> None:
    """One file for each ending, replaced as a whole: readers see the old one or the new one."""
    for form, text in {"json": report.model_dump_json(indent=1), **forms}.items():
        draft = folder / f".report.{form}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(folder / f"report.{form}")
