"""Shows that each promise has a test that fails when the code for it is broken.

Each mutants.toml beside tests lists small changes: of the template, or of a repository with a deep
suite in it. Each is made in a copy, where the test that it names must then fail.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from harness import TEMPLATE, Answers, bake_repository, combinations
from programs.environment import DEEP_PYTHON, CheckError, run, variables
from programs.suites import DEPENDS_ON, folder, inject, modules

MOST_SECONDS = 180  # for one test
PATIENCE = r"\1 = 45"  # of a test, with one thing
OF_TEMPLATE = ("answers", "render")
FAILED = re.compile(r"^FAILED .*|^not done after .*", re.MULTILINE)
LEFT_OUT = shutil.ignore_patterns(".git", ".nox", ".venv", ".*_cache", "__pycache__")


@dataclass(frozen=True)
class Mutant:
    """`old`, which stands once in `file`, becomes `new`, and `test` must fail."""

    suite: str
    promise: str
    file: str
    old: str
    new: str
    test: str
    answers: Answers = field(default_factory=dict)

    @property
    def node(self) -> str:
        return f"{f'tests/{self.suite}' if self.suite in OF_TEMPLATE else 'deep'}/{self.test}"

    @cached_property
    def combination(self) -> Answers:
        """The first that has the answers and the test; none where the template is changed."""
        if self.suite in OF_TEMPLATE:
            return {}
        for each in combinations():
            if each.items() >= self.answers.items() and self.is_in(modules(self.suite, each)):
                return each
        raise LookupError(f"no such test: {self}")

    def is_in(self, files: Iterable[Path]) -> bool:
        name, _, function = self.test.partition("[")[0].partition("::")
        texts = [file.read_text("utf-8") for file in files if file.name == name]
        return any(f"def {function}(" in text for text in texts)


class Ground(NamedTuple):
    """What mutants change, and how tests are run there."""

    root: Path
    command: list[str]
    variables: dict[str, str]

    def failures(self, root: Path, *nodes: str) -> list[str]:
        """What says that the tests fail in `root`; nothing if they pass."""
        given = self.variables | {"PYTHONPATH": str(root / "deep")}
        try:
            run([*self.command, *nodes], root, given, MOST_SECONDS * len(nodes))
        except CheckError as error:
            return FAILED.findall(str(error)) or [f"ERROR {error}"]
        return []

    def examine(self, mutant: Mutant) -> list[str]:
        with tempfile.TemporaryDirectory() as name:
            root = shutil.copytree(self.root, Path(name).resolve() / "copy", ignore=LEFT_OUT)
            text = (root / mutant.file).read_text("utf-8").replace(mutant.old, mutant.new)
            (root / mutant.file).write_text(text, "utf-8")
            return self.failures(root, mutant.node)


def listed() -> list[Mutant]:
    folders = {suite: folder(suite) for suite in DEPENDS_ON}
    folders |= {name: TEMPLATE / "tests" / name for name in OF_TEMPLATE}
    return [
        Mutant(suite, **entry)
        for suite, path in folders.items()
        for file in path.glob("mutants.toml")
        for entry in tomllib.loads(file.read_text("utf-8"))["mutant"]
    ]


def prepare(work: Path, suite: str, answers: Answers) -> Ground:
    if not answers:
        return Ground(TEMPLATE, [sys.executable, "-m", "pytest"], {})
    repository = bake_repository(Path(tempfile.mkdtemp(dir=work)), answers)
    inject(suite, answers, repository.root / "deep")
    # Most of what a test waits for here never comes.
    file = repository.root / "emulator" / "container.py"
    text = re.sub("(?m)^(DEADLINE_SECONDS) = .*", PATIENCE, file.read_text("utf-8"))
    file.write_text(text, "utf-8")
    return Ground(repository.root, [*DEEP_PYTHON, "pytest"], variables(repository, work))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", dest="word", default="", help="only mutants with this in their entry")
    word = parser.parse_args().word
    found = [mutant for mutant in listed() if word in str(mutant)]
    found.sort(key=lambda mutant: (mutant.suite, *mutant.combination.values()))
    counts = Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        os.environ["COOKIECUTTER_CONFIG"] = str(work / "cookiecutter.yaml")
        (work / "cookiecutter.yaml").write_text(f"replay_dir: {work}\n", "utf-8")
        for (suite, answers), group in groupby(found, lambda m: (m.suite, m.combination)):
            mutants = list(group)
            ground = prepare(work, suite, answers)
            before = ground.failures(ground.root, *{mutant.node for mutant in mutants})
            for mutant in mutants:
                unsound = [why for why in before if mutant.node in why or "FAILED" not in why]
                why = unsound or ground.examine(mutant)
                invalid = unsound or "".join(why).startswith("ERROR")
                verdict = "INVALID" if invalid else "caught" if why else "SURVIVED"
                print(" | ".join((verdict, mutant.suite, mutant.promise, *why)), flush=True)
                counts[verdict] += 1
    print(f"{counts.total()} mutants:", ", ".join(f"{n} {each}" for each, n in counts.items()))
    return 0 if set(counts) == {"caught"} else 1


if __name__ == "__main__":
    sys.exit(main())
