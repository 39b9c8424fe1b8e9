"""`--overwrite-if-exists`: nothing of the old answers is left, and what is the owner's stays."""

from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from jinja2 import UndefinedError

from harness import OPTIONS, TEMPLATE, Answers, Repository, bake, digests

MINE = (
    *("weights/model.bin", "tests/test_mine.py", "src/my_model/mine.py"),
    *("src/my_model/networks/mine.py", "docs/mine.md"),
)
# From each of three choices to each other one.
TOUR = (0, 1, 2, 1, 0, 2, 0)


def bake_over(output: Path, chosen: Answers) -> Path:
    folder = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        extra_context=chosen,
        output_dir=str(output),
        overwrite_if_exists=True,
    )
    return Path(folder)


def answers(turns: dict[str, int]) -> Answers:
    return {option: OPTIONS[option][turn % len(OPTIONS[option])] for option, turn in turns.items()}


def add_own(root: Path) -> dict[str, str]:
    """Files with names of their own, in folders of all kinds."""
    for name in MINE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name} is mine\n", encoding="utf-8")
    found = digests(root)
    return {name: found[name] for name in MINE}


@pytest.mark.parametrize("changing", [[*OPTIONS], *([option] for option in OPTIONS)], ids=" ".join)
def test_nothing_of_old_answers_is_left(
    changing: list[str], repositories: list[Repository], tmp_path: Path
) -> None:
    fresh = {tuple(each.answers.values()): each.files for each in repositories}
    mine: dict[str, str] = {}
    longest = max(len(OPTIONS[option]) for option in changing)
    for turn in TOUR if longest == 3 else (0, 1, 0):
        chosen = answers(dict.fromkeys(OPTIONS, 0) | dict.fromkeys(changing, turn))
        root = bake_over(tmp_path, chosen)
        assert digests(root) == fresh[tuple(chosen.values())] | mine, chosen
        mine = add_own(root)


@pytest.mark.parametrize(
    "wrong",
    [
        {"package_name": "class"},
        {"author_email": "a@b"},
        {"description": "x" * 300},
        {"project_slug": "."},
        {"project_slug": "Bad Slug"},
    ],
    ids=str,
)
def test_refused_answers_take_nothing_away(wrong: Answers, tmp_path: Path) -> None:
    add_own(bake(tmp_path))
    before = digests(tmp_path)
    with pytest.raises((FailedHookException, UndefinedError)):
        bake_over(tmp_path, {"pipeline": "batch"} | wrong)
    assert digests(tmp_path) == before
