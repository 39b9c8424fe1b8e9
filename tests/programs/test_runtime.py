"""The runtime is one package: all variants of it, laid together, are linted, typed and imported."""

import ast
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from harness import FOLDER, Repository, programs
from programs.environment import CheckError, run, variables

PLACE = Path("src", "<<cookiecutter.package_name>>", "runtime")
SOURCES = [FOLDER / PLACE, *FOLDER.glob(f"_only/*/{PLACE}")]
# From the top down: a package imports from itself and from those below it.
LAYERS = (
    ("serve", "env_example"),
    ("lifecycle",),
    ("container",),
    ("api", "ops"),
    ("sessions",),
    ("media", "livepeer"),
    ("worker",),
    ("interface", "http"),
    ("deadline", "health", "logs", "metrics", "settings", "signals"),
    ("errors",),
)
# None of these imports the other, wherever they stand.
APART = ({"api", "ops"}, {"livepeer", "media"}, {"livepeer", "ops"})
IMPORT_ALL = """
import importlib, pkgutil, my_model.runtime as runtime
for module in pkgutil.walk_packages(runtime.__path__, "my_model.runtime."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

# What each process must not import: it would cost memory and time, or be the model's.
MAIN_IMPORTS = """
import sys
from my_model.__main__ import parts
import my_model.runtime.lifecycle
parts()
assert not {"numpy", "my_model.model"} & sys.modules.keys()
"""
# A required GPU is looked for before the model's process starts, which must not wait for more.
GPU_IMPORTS = """
import sys
from my_model.__main__ import gpu
import my_model.runtime.serve
gpu()
assert not {"aiohttp", "av", "fastapi", "uvicorn"} & sys.modules.keys()
"""
WORKER_IMPORTS = """
import sys
import my_model.runtime.worker.__main__
import my_model.runtime.worker.frame_executor
assert not {"aiohttp", "av", "fastapi", "prometheus_client", "uvicorn"} & sys.modules.keys()
"""


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    """The runtime's files of all variants, by their paths in it."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for source in SOURCES:
        for path in source.rglob("*.py"):
            found[str(path.relative_to(source))].append(path)
    assert {name: paths for name, paths in found.items() if paths[1:]} == {}
    return {name: path for name, (path,) in found.items()}


@pytest.fixture(scope="module")
def whole(
    repositories: list[Repository],
    files: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, str]]:
    """A repository that has all variants, and the variables to run its commands with."""
    chosen = next(
        each
        for each in repositories
        if {"nvidia", "live-runner", "live-video-to-video"} <= {*each.answers.values()}
    )
    folder = tmp_path_factory.mktemp("runtime")
    root = folder / "whole"
    shutil.copytree(chosen.root, root)
    for name, path in files.items():
        target = root / "src" / "my_model" / "runtime" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return root, variables(chosen, folder)


@pytest.mark.parametrize(
    "command",
    ["ruff check src", "ruff format --check src", "mypy src/my_model/runtime"],
)
def test_all_variants_together_are_clean(command: str, whole: tuple[Path, dict[str, str]]) -> None:
    root, given = whole
    run(["uv", "run", *command.split()], root, given)


def test_all_variants_together_can_be_imported(whole: tuple[Path, dict[str, str]]) -> None:
    root, given = whole
    run(["uv", "run", "python", "-W", "error", "-c", IMPORT_ALL], root, given)


@pytest.mark.parametrize(
    "code", [MAIN_IMPORTS, GPU_IMPORTS, WORKER_IMPORTS], ids=["main", "gpu", "worker"]
)
def test_process_imports_what_it_needs(code: str, whole: tuple[Path, dict[str, str]]) -> None:
    root, given = whole
    run(["uv", "run", "python", "-c", code], root, given)


def imported(name: str, path: Path) -> set[str]:
    """The modules of the runtime that a file of it imports, by their paths with dots."""
    here = name.removesuffix(".py").removesuffix("/__init__").split("/")
    here = here if name.endswith("__init__.py") else here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) + 1 - node.level]
            module = [*base, *(node.module or "").split(".")]
            found.add(".".join(part for part in module if part))
    return found


def package(module: str) -> str:
    return module.partition(".")[0]


def test_imports_go_one_way(files: dict[str, Path]) -> None:
    depth = {name: number for number, names in enumerate(LAYERS) for name in names}
    packages = {name.partition("/")[0].removesuffix(".py") for name in files} - {"__init__"}
    assert packages == {*depth}
    back = [
        f"{name} imports {module}"
        for name, path in files.items()
        for module in imported(name, path)
        if (here := package(name.replace("/", ".").removesuffix(".py"))) != package(module)
        and (
            depth[package(module)] < depth[here]
            or any({here, package(module)} <= apart for apart in APART)
        )
    ]
    assert back == []


def test_no_module_imports_in_a_circle(files: dict[str, Path]) -> None:
    arrows = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): imported(name, path)
        for name, path in files.items()
    }
    while free := {name for name, others in arrows.items() if not others & arrows.keys()}:
        for name in free:
            del arrows[name]
    assert arrows == {}


def test_metric_is_declared_once(files: dict[str, Path]) -> None:
    declared: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                first = node.args[0].value
                if isinstance(first, str) and first.startswith("byoc_"):
                    declared[first].append(name)
    assert {metric: places for metric, places in declared.items() if places[1:]} == {}
    assert {"byoc_sessions_active", "byoc_frame_latency_ms", "byoc_errors"} <= declared.keys()


def test_setting_is_described_once(files: dict[str, Path]) -> None:
    """Beside it, only the other pipeline may have a setting of the same name."""
    described: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Name) and base.id == "SettingsGroup" for base in node.bases
            ):
                for field in node.body:
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                        described[field.target.id].append(name)
    twice = {name: places for name, places in described.items() if places[1:]}
    assert {*twice} <= {"prefix", "job_timeout_seconds", "price_per_unit", "price_currency"}


@pytest.mark.parametrize("name", ["serve.py", "mine.py"])
def test_an_edit_of_the_runtime_is_seen(
    name: str, repositories: list[Repository], whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """By the owner's test, which names the file: one that was changed, or that was added."""
    _, given = whole
    chosen = next(each for each in repositories if each.answers["accelerator"] == "nvidia")
    root = shutil.copytree(chosen.root, tmp_path / "edited")
    command = ["uv", "run", "pytest", "tests/test_runtime.py", "-k", "unchanged"]
    run(command, root, given)
    with (root / "src" / "my_model" / "runtime" / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(CheckError, match=name):
        run(command, root, given)


def test_runtime_is_the_same_for_every_name(repositories: list[Repository]) -> None:
    """Nothing in it is rendered: two programs differ in which files they have."""
    contents: defaultdict[str, set[str]] = defaultdict(set)
    for program in programs(repositories):
        for path, digest in program[0].files.items():
            if "/runtime/" in path and not path.endswith("checksums.txt"):
                contents[path].add(digest)
    assert {path: found for path, found in contents.items() if len(found) > 1} == {}
