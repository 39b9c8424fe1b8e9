"""The hooks need no more than an old Python, and the command line tells what to do next."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import CONTEXT, OPTIONS, TEMPLATE, TEXTS, bake, bake_repository
from languages import run

HOOKS = sorted((TEMPLATE / "hooks").glob("*.py"))


def cookiecutter(
    output: Path, *arguments: str, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with `typed` on its standard input."""
    command = ["cookiecutter", str(TEMPLATE), "--output-dir", str(output), *arguments]
    return subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("hook", HOOKS, ids=lambda path: path.name)
def test_hook_imports_no_network_and_starts_no_program(hook: Path) -> None:
    tree = ast.parse(hook.read_text(encoding="utf-8"), feature_version=(3, 10))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [node.names[0].name])
    }
    assert imported <= {
        "__future__",
        "hashlib",
        "json",
        "keyword",
        "pathlib",
        "re",
        "shutil",
        "sys",
    }


@pytest.mark.skipif(not shutil.which("python3.10"), reason="python3.10 is not on the path")
def test_hooks_run_on_python_3_10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bake_repository(tmp_path / "here", {})
    monkeypatch.setattr(sys, "executable", shutil.which("python3.10"))
    assert bake_repository(tmp_path / "there", {}).files == expected.files


def test_pressing_enter_takes_the_defaults(tmp_path: Path) -> None:
    done = cookiecutter(tmp_path / "typed", typed="\n" * (len(TEXTS) + len(OPTIONS)))
    assert done.returncode == 0, done.stderr
    for prompts in CONTEXT["__prompts__"].values():
        for prompt in prompts.values() if isinstance(prompts, dict) else [prompts]:
            assert prompt in done.stdout.replace("\n", "")
    defaults = bake(tmp_path / "defaults")
    run("diff", "--recursive", tmp_path / "typed" / "my-model", defaults)


def test_three_lines_say_what_to_do_next(tmp_path: Path) -> None:
    done = cookiecutter(tmp_path, "--no-input", "project_name=Fast Photo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Serve it:     cd fast-photo && uv run python -m fast_photo",
        "Test it:      uv run nox -s tests",
        "Then put your model into src/fast_photo/model.py; README.md says how.",
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("<< 7 * 7 >>\n\n\n", "project_name '<< 7 * 7 >>': leave out"),
        ("\n\n\n<% x\n", "description '<% x': leave out"),
        ("\nBad Slug\n", "project_slug 'Bad Slug': use 1 to 40 of a-z, 0-9 and single dashes"),
    ],
)
def test_refusal_of_a_typed_answer_names_it(typed: str, words: str, tmp_path: Path) -> None:
    rest = "\n" * (len(TEXTS) + len(OPTIONS))
    done = cookiecutter(tmp_path, typed=typed + rest)
    assert done.returncode == 1
    assert words in done.stderr
    assert "for example" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "my-model" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine", encoding="utf-8")
    done = cookiecutter(tmp_path, "--no-input")
    assert done.returncode == 1
    assert "already exists" in done.stdout
    assert sorted(tmp_path.rglob("*")) == [mine.parent, mine]
