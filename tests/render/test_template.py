"""The template itself: little logic, and no sign of Jinja's that Jinja was not meant to see."""

import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jinja2 import nodes

from harness import CONTEXT, FOLDER, OPTIONS, TEMPLATE, TEXTS, Record, jinja, template_files

MOST_CONDITIONALS_IN_A_FILE = 3
MOST_CONDITIONALS = 30


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return template_files()


def test_conditionals_are_few(files: dict[str, str], record_property: Record) -> None:
    counted = Counter(
        {
            path: sum(1 for _ in jinja().parse(text).find_all((nodes.If, nodes.CondExpr)))
            for path, text in files.items()
        }
    )
    record_property("conditionals in the template", f"{counted.total()} of {MOST_CONDITIONALS}")
    assert {p: n for p, n in counted.items() if n > MOST_CONDITIONALS_IN_A_FILE} == {}
    assert counted.total() <= MOST_CONDITIONALS


def test_every_opening_delimiter_belongs_to_the_template(files: dict[str, str]) -> None:
    """A here-document, a shift or a merge key would be lost or fail where it is rendered."""
    strangers = []
    for path, text in files.items():
        loops = {
            name.name
            for loop in jinja().parse(text).find_all(nodes.For)
            for name in (loop.target, *loop.target.find_all(nodes.Name))
            if isinstance(name, nodes.Name)
        }
        own = re.compile(rf"<<(?:cookiecutter\.[a-z_]+|{'|'.join(loops) or 'cookiecutter'})[^\w]")
        for found in re.finditer("<<|<#", f"{path}\n{text}"):
            rest = f"{path}\n{text}"[found.start() :].partition("\n")[0]
            if not own.match(rest):
                strangers.append(f"{path}: {rest}")
    assert strangers == []


def test_every_question_is_asked_in_words() -> None:
    prompts = CONTEXT["__prompts__"]
    assert set(prompts) == {*TEXTS, *OPTIONS}
    assert {option: set(prompts[option]) for option in OPTIONS} == {
        option: {"__prompt__", *choices} for option, choices in OPTIONS.items()
    }


def test_docs_tell_every_option_and_choice() -> None:
    docs = (TEMPLATE / "docs" / "options.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([^`\n]+)`", docs))
    assert {*TEXTS, *OPTIONS, *(c for choices in OPTIONS.values() for c in choices)} - told == set()


def test_conditions_speak_of_existing_options_and_choices() -> None:
    folders = [part for folder in (FOLDER / "_only").iterdir() for part in folder.name.split("+")]
    for condition in (*folders, *CONTEXT["_dependencies"]):
        option, _, choices = condition.partition("=")
        assert set(choices.split(",")) <= set(OPTIONS[option]), condition


def test_version_is_the_newest_in_the_changelog() -> None:
    changelog = (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert versions[0] == CONTEXT["__template_version"]


def test_template_is_valid_in_its_own_language(files: dict[str, str]) -> None:
    """Editors and linters can read it: Jinja's values stand for names, its lines are comments."""
    parsers: dict[str, Callable[[str], object]] = {
        **{".json": json.loads, ".py": ast.parse, ".toml": tomllib.loads, ".yml": yaml.safe_load}
    }
    for path, text in files.items():
        if parse := parsers.get(Path(path).suffix):
            parse(re.sub("<<(.*?)>>", lambda found: re.sub(r"\W", "_", found[1]), text))
