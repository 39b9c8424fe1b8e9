"""How long the template takes to render."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness import TEMPLATE, bake_all, combinations

RENDER_SECONDS = 60
EMPTY = {
    "cookiecutter.json": '{"project_slug": "empty"}',
    "{{cookiecutter.project_slug}}/README.md": "",
}


class Rendering(NamedTuple):
    """Seconds: for all combinations in a pool, for one by the command line, for an empty one."""

    combinations: int
    every: float
    one: float
    empty: float


def observe(folder: Path, times: int) -> Rendering:
    started = time.monotonic()
    with hushed():
        bake_all(folder / "all")
    every = time.monotonic() - started
    template = make_empty_template(folder / "template")
    pairs = [
        (cookiecutter(TEMPLATE, folder / "one"), cookiecutter(template, folder / "empty"))
        for _ in range(times)
    ]
    one, empty = (statistics.median(each) for each in zip(*pairs, strict=True))
    return Rendering(len(combinations()), every, one, empty)


@contextmanager
def hushed() -> Iterator[None]:
    """Without what the template's hooks, which are processes of their own, print."""
    output = os.dup(1)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)


def make_empty_template(folder: Path) -> Path:
    for name, text in EMPTY.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def cookiecutter(template: Path, output: Path) -> float:
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--no-input", "--output-dir", output, template],
        stdout=subprocess.DEVNULL,
        timeout=RENDER_SECONDS,
        check=True,
    )
    seconds = time.monotonic() - started
    shutil.rmtree(output)
    return seconds
