"""Every distinct program is clean by its own configuration, as it comes."""

import tomllib

import pytest

from harness import PROGRAM, Repository, programs
from languages import run


@pytest.mark.parametrize("command", ["check", "format --check --diff"])
def test_ruff_finds_nothing(repositories: list[Repository], command: str) -> None:
    for program in programs(repositories):
        run("ruff", *command.split(), "--no-cache", ".", cwd=program[0].root)


def test_all_python_belongs_to_the_program(repositories: list[Repository]) -> None:
    """Otherwise two combinations could pass for one program and differ."""
    for repository in repositories:
        code = [path for path in repository.files if path.endswith(".py")]
        assert all(path.startswith(PROGRAM) for path in code), code


def test_types_are_checked_strictly(repositories: list[Repository]) -> None:
    """The generated lint session, which every program runs, reads how strict it is from here."""
    for program in programs(repositories):
        root = program[0].root
        mypy = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
        assert mypy["strict"] is True
        assert {*mypy["files"]} == {part.strip("/") for part in PROGRAM} - {"pyproject.toml"}
        overrides = mypy.get("overrides", [])
        assert all(set(each) == {"module", "follow_untyped_imports"} for each in overrides)
