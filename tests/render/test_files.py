"""What every combination consists of."""

import ast
import io
import json
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

from harness import Record, Repository, combinations

MOST_TEST_LINES = 1500
# Of code: blank lines, comments and docstrings are none.
MOST_CHECKLIST_LINES = 1500
MOST_LOAD_TEST_LINES = 1600
MOST_REPORTING_LINES = 150
PICTURES = (".jpg", ".mp4")
LISTED = Path(__file__).with_name("expected_files.txt").read_text(encoding="utf-8")
# By pipeline: what orchestrators find the model under, and how long they lend it.
RUNNERS = {
    "live-video-to-video": ("live-video-to-video", "persistent"),
    "batch": ("image-to-image", "single-shot"),
}
DEFAULTS = {
    "project_name": "My Model",
    "project_slug": "my-model",
    "package_name": "my_model",
    "description": "A model in a container for Livepeer",
    "author_name": "Your Name",
    "author_email": "you@example.com",
    "organization": "example",
    "capability_name": "my-model",
}


def expected_files(answers: dict[str, str]) -> set[str]:
    """The listed files whose conditions, all of them, are among the answers."""
    given = {f"{option}={choice}" for option, choice in answers.items()}
    lines = [line.split() for line in LISTED.splitlines() if line and not line.startswith("#")]
    return {path for path, *conditions in lines if given.issuperset(conditions)}


def test_every_combination_is_rendered(
    repositories: list[Repository], distinct: list[Path], record_property: Record
) -> None:
    record_property("combinations rendered", len(repositories))
    record_property("distinct files checked", len(distinct))
    assert [repository.answers for repository in repositories] == combinations()


def test_files_are_exactly_those_listed(repositories: list[Repository]) -> None:
    unlike: dict[str, set[str]] = {"missing": set(), "unexpected": set()}
    for repository in repositories:
        expected, found = expected_files(repository.answers), set(repository.files)
        choices = " ".join(repository.answers.values())
        unlike["missing"] |= {f"{path} ({choices})" for path in expected - found}
        unlike["unexpected"] |= {f"{path} ({choices})" for path in found - expected}
    assert unlike == {"missing": set(), "unexpected": set()}


def test_tests_and_emulator_stay_small(
    repositories: list[Repository], record_property: Record
) -> None:
    """They are the owner's to read, and not what this template is tested by."""
    lines = {
        sum(
            (repository.root / path).read_bytes().count(b"\n")
            for path in repository.files
            if path.startswith(("tests/", "emulator/")) and path.endswith(".py")
        )
        for repository in repositories
    }
    record_property("lines of tests and emulator", f"{max(lines)} of {MOST_TEST_LINES} at most")
    assert max(lines) <= MOST_TEST_LINES


@pytest.mark.parametrize(
    ("folder", "most"),
    [
        ("checklist", MOST_CHECKLIST_LINES),
        ("load_test", MOST_LOAD_TEST_LINES),
        ("reporting", MOST_REPORTING_LINES),
    ],
)
def test_programs_stay_small(
    repositories: list[Repository], folder: str, most: int, record_property: Record
) -> None:
    """Their pages are HTML, and not counted."""
    lines = {
        sum(
            lines_of_code((repository.root / path).read_text("utf-8"))
            for path in repository.files
            if path.startswith(f"{folder}/") and path.endswith(".py")
        )
        for repository in repositories
    }
    record_property(f"lines of code of {folder}", f"{max(lines)} of {most} at most")
    assert max(lines) <= most


@cache
def lines_of_code(text: str) -> int:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    found = {
        line
        for token in tokens
        if token.type not in (*silent, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            end = node.body[0].end_lineno or 0
            found -= {*range(node.body[0].lineno, end + 1)}
    return len(found)


def test_no_folder_is_empty(repositories: list[Repository]) -> None:
    folders = {path for r in repositories for path in r.root.rglob("*") if path.is_dir()}
    assert [str(path) for path in folders if not any(path.iterdir())] == []


def test_lines_end_alike_everywhere(distinct: list[Path]) -> None:
    texts = [path for path in distinct if path.suffix not in PICTURES]
    assert [str(path) for path in texts if b"\r" in path.read_bytes()] == []


def test_answers_are_noted(repositories: list[Repository]) -> None:
    for repository in repositories:
        app = f"{RUNNERS[repository.answers['pipeline']][0]}/my-model"
        answers = {**DEFAULTS, "app": app, **repository.answers, "template_version": "0.1.0"}
        noted = (repository.root / ".cookiecutter.json").read_bytes()
        assert noted.decode() == json.dumps(answers, indent=2, sort_keys=True) + "\n"


def test_nothing_of_the_template_is_left(distinct: list[Path]) -> None:
    left = [
        f"{path}: {line}"
        for path in distinct
        if path.suffix not in PICTURES
        for line in f"{path.name}\n{path.read_text('utf-8', 'replace')}".splitlines()
        if re.search(r"<[<%#]|^\s*#%", line)
    ]
    assert left == []


@pytest.mark.parametrize(
    ("license_name", "beginning"),
    [
        ("Apache-2.0", "\n                                 Apache License\n"),
        ("MIT", "MIT License\n\nCopyright (c) Your Name\n"),
        ("Proprietary", "Copyright (c) Your Name\n\nAll rights reserved."),
    ],
)
def test_license_is_the_one_asked_for(
    repositories: list[Repository], license_name: str, beginning: str
) -> None:
    for repository in repositories:
        if repository.answers["license"] == license_name:
            text = (repository.root / "LICENSE").read_text(encoding="utf-8")
            assert text.startswith(beginning)


def test_python_is_the_one_asked_for(repositories: list[Repository]) -> None:
    for repository in repositories:
        version = repository.answers["python_version"]
        texts = {
            path: (repository.root / path).read_text(encoding="utf-8")
            for path in (".python-version", "Dockerfile", "pyproject.toml")
        }
        assert texts[".python-version"] == f"{version}\n"
        assert f"\nARG BASE_IMAGE=python:{version}-slim-" in texts["Dockerfile"]
        assert f'\nrequires-python = ">={version}"\n' in texts["pyproject.toml"]


def test_runners_json_is_what_an_orchestrator_takes(repositories: list[Repository]) -> None:
    """The rules of go-livepeer's `ai/runner/live_runner.go`, and what this server answers to."""
    for repository in repositories:
        if repository.answers["registration"] != "static":
            continue
        text = (repository.root / "runners.json").read_text(encoding="utf-8")
        (runner,) = json.loads(text)["runners"]
        assert runner["label"] == "my-model"
        assert runner["runner_url"] == "http://my-model:8000"
        assert runner["health_url"] == "http://my-model:8001/health"
        assert runner["healthy_status_code"] == 200
        app, mode = RUNNERS[repository.answers["pipeline"]]
        assert runner["app"] == f"{app}/my-model"
        assert runner["mode"] == mode
        assert runner["capacity"] == 1
        price = runner["price_info"]
        assert float(price["price"]) > 0
        assert (price["currency"], price["unit"]) == ("usd", "hour")
