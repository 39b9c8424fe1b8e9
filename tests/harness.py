"""Renders the template. Answers, options and combinations are read from cookiecutter.json."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from cookiecutter.main import cookiecutter
from jinja2 import Environment

TEMPLATE = Path(__file__).parent.parent
CONTEXT = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
FOLDER = TEMPLATE / "<<cookiecutter.project_slug>>"
OPTIONS: dict[str, list[str]] = {
    name: value for name, value in CONTEXT.items() if isinstance(value, list) and name[0] != "_"
}
TEXTS: list[str] = [
    name for name, value in CONTEXT.items() if isinstance(value, str) and name[0] != "_"
]
# What a program consists of. Combinations that have these bytes in common are one program.
PROGRAM = (
    *("src/", "checklist/", "emulator/", "load_test/", "reporting/", "tests/"),
    *("pyproject.toml", "noxfile.py"),
)

type Answers = dict[str, str]

# pytest's fixture `record_property`: each pair becomes a row of the table that a run ends with.
Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Repository:
    """A generated repository; `files` maps each path in it to the SHA-256 of the content."""

    root: Path
    answers: Answers
    files: dict[str, str]

    @property
    def program(self) -> str:
        """Equal for two repositories when their programs are, byte for byte."""
        parts = sorted(item for item in self.files.items() if item[0].startswith(PROGRAM))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def jinja() -> Environment:
    return Environment(**CONTEXT["_jinja2_env_vars"])


def is_copied(path: Path) -> bool:
    """Whether cookiecutter copies this file, or this folder with all in it, without rendering."""
    name = str(path.relative_to(FOLDER)) if path.is_relative_to(FOLDER) else ""
    return any(fnmatch(name, pattern) for pattern in CONTEXT["_copy_without_render"])


def template_files() -> dict[str, str]:
    """The files in the template folder that Jinja renders, as text, by their paths there."""
    found = {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.is_file()}
    return {
        name: path.read_text(encoding="utf-8", errors="replace")
        for name, path in sorted(found.items())
        if not any(map(is_copied, (path, *path.parents)))
    }


@cache
def combinations() -> list[Answers]:
    chosen = itertools.product(*OPTIONS.values())
    return [dict(zip(OPTIONS, choices, strict=True)) for choices in chosen]


def bake(output: Path, **answers: str) -> Path:
    """Generate a repository in `output`, as the command line does with these answers."""
    folder = cookiecutter(
        str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(output)
    )
    return Path(folder)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def bake_repository(output: Path, answers: Answers) -> Repository:
    root = bake(output, **answers)
    return Repository(root, answers, digests(root))


def bake_all(output: Path) -> list[Repository]:
    """Generate every combination of options, one folder each, on all processors."""
    chosen = combinations()
    folders = [output / str(number) for number in range(len(chosen))]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(bake_repository, folders, chosen))


def distinct_files(repositories: Iterable[Repository]) -> list[Path]:
    """One file for each content that any path has in any of the repositories."""
    found = {
        (path, digest): repository.root / path
        for repository in repositories
        for path, digest in repository.files.items()
    }
    return list(found.values())


def programs(repositories: Iterable[Repository]) -> list[list[Repository]]:
    """The repositories, those of the same program together."""
    grouped: dict[str, list[Repository]] = {}
    for repository in repositories:
        grouped.setdefault(repository.program, []).append(repository)
    return list(grouped.values())
