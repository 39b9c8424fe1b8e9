"""What is run in generated repositories, all of it when a test first asks for an outcome."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import OPTIONS, Repository, programs
from programs.environment import AT_ONCE, DEEP_PYTHON, CheckError, count, run, variables
from programs.suites import Run, inject

# Nothing here imports it: uvicorn does.
NOT_IMPORTED = "DEP002=httptools"
# For tests that mostly wait; those of a module share what it has started.
DISTRIBUTED = ("-n4", "--dist=loadfile")

# The SDK has types, and does not say so.
FOLLOWED = """
[[tool.mypy.overrides]]
module = "livepeer_gateway.*"
follow_untyped_imports = true
"""


@dataclass
class Outcome:
    """What became of the checks of one repository; `failures` maps a check to what it printed."""

    failures: dict[str, str] = field(default_factory=dict)
    summary: str = "no test passed"

    def attempt(self, check: str, command: list[str], root: Path, given: dict[str, str]) -> None:
        try:
            output = run(command, root, given)
            if check == "tests":
                self.summary = count(output)
        except (CheckError, OSError) as error:
            self.failures[check] = str(error)

    def __str__(self) -> str:
        failed = f", FAILED: {' '.join(self.failures)}" if self.failures else ""
        return self.summary + failed


class Program(NamedTuple):
    """The repositories that have one program in common."""

    repositories: list[Repository]

    @property
    def name(self) -> str:
        """The choices of each option that this program stands for."""
        met = {option: {r.answers[option] for r in self.repositories} for option in OPTIONS}
        return " ".join("|".join(sorted(choices)) for choices in met.values())


class Exercised(NamedTuple):
    """Every distinct program with the owner's tests, and every run of a deep suite."""

    owners: list[tuple[Program, Outcome]]
    suites: list[tuple[Run, Outcome]]


def exercise(repository: Repository, root: Path) -> Outcome:
    """The owner's commands, as the README of the generated repository says."""
    outcome = Outcome()
    shutil.copytree(repository.root, root)
    given = variables(repository, root.parent)
    environment = Path(given["UV_PROJECT_ENVIRONMENT"])
    python = repository.answers["python_version"]
    packages = environment / "lib" / f"python{python}" / "site-packages"
    outcome.attempt("lint", ["uv", "run", "nox", "--session", "lint"], root, given)
    outcome.attempt("tests", ["uv", "run", "nox", "--session", "tests"], root, given)
    is_python = f"import sys; assert '%d.%d' % sys.version_info[:2] == '{python}'"
    outcome.attempt("python", [str(environment / "bin" / "python"), "-c", is_python], root, given)
    # deptry sees in PYTHONPATH which package has which module.
    deptry = ["deptry", "--no-ansi", "--per-rule-ignores", NOT_IMPORTED, "src"]
    outcome.attempt("dependencies", deptry, root, given | {"PYTHONPATH": str(packages)})
    return outcome


def exercise_suite(suite: str, repository: Repository, root: Path) -> Outcome:
    """A deep suite, injected into a copy of the repository."""
    outcome = Outcome()
    shutil.copytree(repository.root, root)
    inject(suite, repository.answers, root / "deep")
    with (root / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write(FOLLOWED)
    given = variables(repository, root.parent) | {"PYTHONPATH": str(root / "deep")}
    outcome.attempt("types", [*DEEP_PYTHON, "mypy", "src", "deep"], root, given)
    outcome.attempt("tests", [*DEEP_PYTHON, "pytest", "deep", *DISTRIBUTED], root, given)
    return outcome


@pytest.fixture(scope="session")
def exercised(
    request: pytest.FixtureRequest,
    repositories: list[Repository],
    tmp_path_factory: pytest.TempPathFactory,
) -> Exercised:
    """Of suites, those for which a test has been selected; programs if one asks for them."""
    folder = tmp_path_factory.mktemp("programs")
    asking = [
        getattr(item, "callspec", None)
        for item in request.session.items
        if request.fixturename in getattr(item, "fixturenames", ())
    ]
    parameters = [callspec.params if callspec else {} for callspec in asking]
    asked = [one for params in parameters if isinstance(one := params.get("run"), Run)]
    runs = list({one.name: one for one in asked}.values())
    found = programs(repositories) if any("run" not in params for params in parameters) else []
    with ThreadPoolExecutor(AT_ONCE, "environment") as pool:
        suites = [
            (
                chosen,
                pool.submit(
                    exercise_suite,
                    chosen.suite,
                    next(each for each in repositories if each.answers == chosen.answers),
                    folder / chosen.name,
                ),
            )
            for chosen in runs
        ]
        owners = [
            (Program(group), pool.submit(exercise, group[0], folder / str(number)))
            for number, group in enumerate(found)
        ]
        return Exercised(
            [(program, done.result()) for program, done in owners],
            [(chosen, done.result()) for chosen, done in suites],
        )
