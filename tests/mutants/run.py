"""Shows that each promise has a test that fails without the code it speaks of.

mutants.toml lists small changes: those of a pipeline in a repository that has it, `[[template]]`
ones in the template. Each is made in a copy, where the test it names must then fail.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness import TEMPLATE, bake

AT_ONCE = 2
MOST_SECONDS = 90
CAUGHT, SURVIVED, INVALID = "caught", "SURVIVED", "INVALID"
LEFT_OUT = shutil.ignore_patterns(".git", ".nox", ".venv", ".*_cache", "__pycache__")
# What must still run on a mutant: a change that breaks everything shows nothing.
GENERATED = "import {0}.__main__, {0}.drain, {0}.serve, {0}.engine.worker, {0}.model"
TEMPLATED = "import compileall; raise SystemExit(not compileall.compile_dir('hooks', quiet=1))"
# What this run was started with does not reach the tests.
OWN_VARIABLES = ("BYOC_", "COLUMNS", "PYTEST_", "PYTHON", "VIRTUAL_ENV")
KEPT = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
VARIABLES = KEPT | {"COLUMNS": "200", "UV_COMPILE_BYTECODE": "1"}


@dataclass(frozen=True)
class Mutant:
    """`old`, which stands once in `file`, becomes `new`, and `test` must fail.

    `place` is a pipeline or `template`.
    """

    place: str
    promise: str
    file: str
    old: str
    new: str
    test: str
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The name of the tree that is changed."""
        return " ".join([self.place, *map("=".join, self.answers.items())])

    def row(self, verdict: str, reason: str) -> str:
        old, new = (" ".join(text.split())[:60] for text in (self.old, self.new))
        cells = (self.promise, self.test, f"{self.file}: {old} -> {new}", f"{verdict} {reason}")
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def grow(work: Path, mutant: Mutant) -> Path:
    """What the mutant changes, as it is; for what is generated there is an environment, too."""
    if mutant.place == "template":
        return Path(shutil.copytree(TEMPLATE, work / mutant.base, ignore=LEFT_OUT))
    tree = bake(work / mutant.base, pipeline=mutant.place, **mutant.answers)
    command = ["uv", "sync", "--quiet", "--inexact", f"--python={sys.executable}"]
    variables = VARIABLES | {"UV_PROJECT_ENVIRONMENT": f"{work}/venv"}
    subprocess.run(command, cwd=tree, env=variables, check=True)
    return tree


def examine(work: Path, trees: dict[str, Path], changed: bool, mutant: Mutant) -> tuple[str, str]:
    """Run the mutant's test in a copy of the tree, with or without the change."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        tree = Path(folder, "tree")
        shutil.copytree(trees[mutant.base], tree, ignore=LEFT_OUT)
        package = next(tree.glob("src/*"), tree).name
        if changed:
            path = tree / mutant.file.replace("<package>", package)
            text = path.read_text(encoding="utf-8")
            if (count := text.count(mutant.old)) != 1:
                return INVALID, f"what is to be changed stands there {count} times"
            path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        generated = mutant.place != "template"
        check = GENERATED.format(package) if generated else TEMPLATED
        code, output = run(work, tree, "-c", check)
        if code == 0:
            options = ["-n0"] if generated else []
            options += ["-x", "-q", "-p", "no:cacheprovider", f"{tree}/{mutant.test}"]
            code, output = run(work, tree, "-m", "pytest", *options)
    if code is None:
        return CAUGHT, f"not done after {MOST_SECONDS} s"
    if failure := re.search(r"^FAILED .*?::(.*)", output, re.MULTILINE):
        return CAUGHT, failure[1]
    passed = code == 0 and re.search(r"^\d+ passed in ", output, re.MULTILINE)
    return (SURVIVED, "") if passed else (INVALID, output.strip().rpartition("\n")[2])


def run(work: Path, tree: Path, *arguments: str) -> tuple[int | None, str]:
    """Run Python in the tree: its exit code, None when it took too long, and its output.

    In `src`, because Python puts the folder it starts in first on its path: the tests, the servers
    that they start and the model's processes import what is there.
    """
    generated = (tree / "src").exists()
    command = [f"{work}/venv/bin/python" if generated else sys.executable, *arguments]
    folder, output, code = tree / "src" if generated else tree, tree / "output.txt", None
    with output.open("wb") as file, suppress(subprocess.TimeoutExpired):
        code = subprocess.run(
            command, cwd=folder, env=VARIABLES, stdout=file, stderr=file, timeout=MOST_SECONDS
        ).returncode
    # A test that failed may have left processes behind, which were started there, too.
    for link in Path("/proc").glob("[0-9]*/cwd"):
        if link.resolve().is_relative_to(tree):
            with suppress(ProcessLookupError):
                os.kill(int(link.parent.name), signal.SIGKILL)
    return code, output.read_text(encoding="utf-8", errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", dest="word", default="", help="only mutants that speak of it")
    word = parser.parse_args().word
    listed = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text(encoding="utf-8"))
    everything = (Mutant(place, **entry) for place in listed for entry in listed[place])
    mutants = [mutant for mutant in everything if word in str(mutant)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        work = Path(folder).resolve()
        os.environ["COOKIECUTTER_CONFIG"] = str(work / "cookiecutter.yaml")
        (work / "cookiecutter.yaml").write_text(f"replay_dir: {work}\n", encoding="utf-8")
        trees = {name: grow(work, m) for name, m in {m.base: m for m in mutants}.items()}
        tests = {m.test: m for m in mutants}
        results = pool.map(partial(examine, work, trees, False), tests.values())
        unsound = {t: why for t, (v, why) in zip(tests, results, strict=True) if v != SURVIVED}
        mutants = [m for m in mutants if m.test not in unsound]
        results = pool.map(partial(examine, work, trees, True), mutants)
        counts = Counter[str]()
        print("| promise | test | change | result |\n| --- | --- | --- | --- |")
        for mutant, (verdict, why) in zip(mutants, results, strict=True):
            print(mutant.row(verdict, why), flush=True)
            counts[verdict] += 1
    for test, why in unsound.items():
        print(f"{test} does not pass without any change: {why}")
    print(f"{len(mutants)} mutants:", ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 1 if unsound or set(counts) != {CAUGHT} else 0


if __name__ == "__main__":
    sys.exit(main())
