"""The template itself: little logic, and no sign of Jinja's that Jinja was not meant to see."""

import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from jinja2 import nodes

from harness import (
    CONTEXT,
    FOLDER,
    OPTIONS,
    TEMPLATE,
    TEXTS,
    Record,
    combinations,
    jinja,
    template_files,
)
from programs.suites import layers

MOST_CONDITIONALS_IN_A_FILE = 3
MOST_CONDITIONALS = 30
MOST_NEEDLESSLY_RENDERED = 25
CONDITIONS = sorted({folder.name for folder in TEMPLATE.rglob("_only/*")})


def relative(path: Path) -> str:
    return str(path.relative_to(FOLDER))


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


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition_can_be_met_and_missed(name: str) -> None:
    """It stands in one order: the last question first, and choices by the alphabet."""
    alternatives = []
    for alternative in name.split("_or_"):
        parts = [part.split("=") for part in alternative.split("+")]
        for part in parts:
            choices = set(part[1].split(","))
            assert choices < set(OPTIONS[part[0]])
            part[1] = ",".join(sorted(choices))
        alternatives.append(sorted(parts, key=place))
    alternatives.sort(key=lambda parts: place(parts[0]))
    assert "_or_".join("+".join(map("=".join, parts)) for parts in alternatives) == name


def place(part: list[str]) -> int:
    """Of its option: the last question comes first."""
    return -[*OPTIONS].index(part[0])


def test_no_file_is_laid_over_another() -> None:
    for answers in combinations():
        base, *others = layers(FOLDER, answers)
        paths = Counter(relative(path) for path in base.rglob("*") if path.is_file())
        for layer in others:
            paths.update(str(p.relative_to(layer)) for p in layer.rglob("*") if p.is_file())
        assert [path for path, count in paths.items() if count > 1] == [], answers


def test_dependencies_belong_to_choices() -> None:
    choices = {f"{option}={choice}" for option in OPTIONS for choice in OPTIONS[option]}
    assert set(CONTEXT["_dependencies"]) <= choices


def test_what_is_copied_has_nothing_to_render(
    files: dict[str, str], record_property: Record
) -> None:
    sign = re.compile(r"<[<%#]|^\s*#%", re.MULTILINE)
    for path in FOLDER.rglob("*"):
        if path.is_file() and relative(path) not in files and path.suffix not in (".jpg", ".mp4"):
            assert not sign.search(path.read_text(encoding="utf-8")), path
    needless = [path for path, text in files.items() if not sign.search(text)]
    record_property("files rendered without need", f"{len(needless)} of {MOST_NEEDLESSLY_RENDERED}")
    assert len(needless) <= MOST_NEEDLESSLY_RENDERED, needless


@pytest.mark.parametrize("pattern", CONTEXT["_copy_without_render"])
def test_pattern_of_what_is_copied_is_safe(pattern: str) -> None:
    """To copy a folder, cookiecutter first removes the one there, with what the owner put in it."""
    matched = [path for path in FOLDER.rglob("*") if fnmatch(relative(path), pattern)]
    assert matched
    for folder in (path for path in matched if path.is_dir()):
        assert relative(folder).startswith("_only/")
        assert [path for path in folder.rglob("*") if "<<" in path.name] == []


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
