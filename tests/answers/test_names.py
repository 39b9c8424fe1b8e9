"""Names: each rule is said in words, and what the rules allow gives a clean repository."""

import ast
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import languages
from answers.taken import derive
from harness import CONTEXT, OPTIONS, Repository, bake

HOSTILE = [
    "",
    " ",
    "-",
    "-a",
    "a-",
    "a b",
    "a\nb",
    "a\n",
    "O'B\"x\\",
    "{{x}}",
    "$HOME",
    "`id`",
    "$(id)",
    "a;b",
    "a/b",
    "../x",
    "/tmp/x",
    ".",
    "..",
    "é",
    "日本",
    "\U0001f680",
    "a\x00b",
    "a" * 300,
    "#",
    "a: b",
    "~",
]
NAMES = ("package_name", "author_email", "organization", "capability_name")
REFUSED = {
    "project_slug": [
        *HOSTILE,
        *("A", "1", "1a", "a_b", "a--b", "a.b", "a" * 41, "a\\b", "pillow", "orchestrator"),
    ],
    "package_name": [
        *("A", "1a", "a-b", "a.b", "_a", "class", "a" * 41),
        *("json", "test", "multidict", "fastapi", "emulator", "sample"),
    ],
    "author_email": [
        "a",
        "a@",
        "@b",
        "a@b",
        "a@b.c\n",
        "A <a@b.cd>",
        "a@b@c.d",
        "a" * 251 + "@b.c",
    ],
    "organization": ["A", "a_b", "a--b", "a" * 40],
    "capability_name": [".a", "a?b", "a%2Fb", "a" * 41],
    "app": [
        *(value for value in HOSTILE if value != "a/b"),
        *("a", "a/", "/a", "a//b", "a/../b", "-a/b", "a/b?", "a/b c", "a/b\n", "a" * 79 + "/b"),
    ],
}
SHORTEST = {
    **{"project_name": "x", "project_slug": "a", "package_name": "a", "description": "x"},
    **{"author_name": "x", "author_email": "a@b.c", "organization": "a", "capability_name": "a"},
    "app": "a/a",
}
LONGEST = {
    "project_name": "W" * 60,
    "project_slug": "z" * 40,
    "package_name": "z" * 40,
    "description": "W" * 200,
    "author_name": "W" * 100,
    "author_email": "z" * 242 + "@example.com",
    "organization": "z" * 39,
    "capability_name": "Z" * 40,
    "app": "z" * 39 + "/" + "Z" * 40,
}


@pytest.mark.parametrize(
    ("answer", "value"), [(answer, value) for answer in REFUSED for value in REFUSED[answer]]
)
def test_name_is_refused(answer: str, value: str, refused: Callable[..., str]) -> None:
    message = refused(**{answer: value})
    assert f"{answer} " in message
    assert "for example" in message


@pytest.mark.parametrize("value", HOSTILE)
def test_every_refusal_is_told_at_once(value: str, refused: Callable[..., str]) -> None:
    lines = refused(**dict.fromkeys(NAMES, value)).splitlines()
    assert [line.split()[0] for line in lines[: len(NAMES)]] == list(NAMES)
    assert all(repr(value) in line and "for example" in line for line in lines[: len(NAMES)])


@pytest.mark.parametrize("name", ["a-b", "abc", "a" * 31, "a.b"])
def test_docker_hub_takes_no_dash_and_4_to_30_letters(
    name: str, refused: Callable[..., str]
) -> None:
    assert "organization" in refused(registry="docker.io", organization=name)


def imported(repositories: list[Repository]) -> set[str]:
    """The first part of every module that generated code imports from elsewhere."""
    trees = [
        ast.parse((repository.root / path).read_text(encoding="utf-8"))
        for repository in repositories
        for path in repository.files
        if path.endswith(".py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names |= {node.module for node in froms if node.module and node.level == 0}
    return {name.partition(".")[0] for name in names} - {"my_model"}


def test_package_may_not_hide_what_the_repository_imports(repositories: list[Repository]) -> None:
    names = {name for name in imported(repositories) if re.fullmatch("[a-z].*", name)}
    assert names - sys.stdlib_module_names - {*CONTEXT["_taken"]["modules"]} == set()


def test_taken_names_are_complete(repositories: list[Repository]) -> None:
    derived = derive(repository.root for repository in repositories)
    lacking = {kind: {*names} - {*CONTEXT["_taken"][kind]} for kind, names in derived.items()}
    assert not any(lacking.values()), f"run `nox -s names`: dependencies have brought {lacking}"


@pytest.mark.parametrize("name", ["cv2", "torch", "whisper"])
def test_no_project_is_called_like_a_library_of_models(
    name: str, refused: Callable[..., str]
) -> None:
    told = refused(project_slug=name)
    for answer in ("project_slug", "package_name"):
        assert f"{answer} '{name}': choose another name, because a library" in told
    assert "project_slug" not in refused(package_name=name)


def test_slug_may_not_be_a_service_beside_the_container(
    distinct: list[Path], refused: Callable[..., str]
) -> None:
    files = [path for path in distinct if re.fullmatch(r"compose.*\.yaml", path.name)]
    services = {
        name
        for path in files
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
    }
    for name in services - {"my-model"}:
        assert "project_slug" in refused(project_slug=name, package_name="my_model")


@pytest.mark.parametrize(
    "route",
    [
        *("docs", "health", "live-video-to-video", "livez", "metrics", "openapi.json", "redoc"),
        *("run", "stream"),
    ],
)
def test_capability_may_not_be_a_route(route: str, refused: Callable[..., str]) -> None:
    assert "capability_name" in refused(capability_name=route)


@pytest.mark.parametrize("app", ["image-to-text/my-ocr", "a/b", "live/a.b_c-d/v1.2"])
def test_app_is_what_callers_look_for(app: str, tmp_path: Path) -> None:
    root = bake(tmp_path, registration="static", app=app)
    (runner,) = json.loads((root / "runners.json").read_text(encoding="utf-8"))["runners"]
    assert runner["app"] == app


@pytest.mark.parametrize("option", OPTIONS)
def test_choice_must_be_on_the_list(option: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{option}, but the choices are"):
        bake(tmp_path, **{option: "other"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [SHORTEST, LONGEST], ids=["shortest", "longest"])
@pytest.mark.parametrize("turn", range(max(len(choices) for choices in OPTIONS.values())))
def test_repository_is_clean_with_any_names(
    names: dict[str, str], turn: int, tmp_path: Path
) -> None:
    chosen = {option: choices[turn % len(choices)] for option, choices in OPTIONS.items()}
    if chosen["registry"] == "docker.io":
        names = names | {"organization": "z" * 30}
    root = bake(tmp_path, **names, **chosen)
    for path in root.rglob("*"):
        if path.is_file():
            languages.check(path)
    languages.run("ruff", "check", "--no-cache", ".", cwd=root)
    languages.run("ruff", "format", "--check", "--diff", "--no-cache", ".", cwd=root)
