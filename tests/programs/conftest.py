"""What is run in generated repositories, all of it before the first test asks for an outcome."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import OPTIONS, Answers, Repository, programs
from programs.environment import AT_ONCE, CheckError, count, run, variables
from programs.suites import Run, choose_runs, inject

# Nothing imports it: uvicorn does, told by name.
NOT_IMPORTED = "DEP002=httptools"
# For tests that mostly wait; those of a module share what it has started.
DISTRIBUTED = ("-n4", "--dist=loadfile")


@dataclass
class Outcome:
    """What became of the checks of one repository; `failures` maps a check to what it printed."""

    failures: dict[str, str] = field(default_factory=dict)
    summary: str = "no test passed"

    def attempt(self, check: str, command: list[str], root: Path, given: dict[str, str]) -> str:
        """What the command prints, if it succeeds."""
        try:
            return run(command, root, given)
        except (CheckError, OSError) as error:
            self.failures[check] = str(error)
            return ""

    def tests(self, command: list[str], root: Path, given: dict[str, str]) -> None:
        output = self.attempt("tests", command, root, given)
        if output:
            try:
                self.summary = count(output)
            except CheckError as error:
                self.failures["tests"] = str(error)

    def __str__(self) -> str:
        failed = f", FAILED: {' '.join(self.failures)}" if self.failures else ""
        return self.summary + failed


@dataclass(frozen=True)
class Program:
    """The repositories that have one program in common."""

    repositories: list[Repository]

    @property
    def name(self) -> str:
        """The choices of each option that this program stands for."""
        met = {option: {r.answers[option] for r in self.repositories} for option in OPTIONS}
        return " ".join("|".join(sorted(choices)) for choices in met.values())


@dataclass(frozen=True)
class Exercised:
    """Every distinct program with the owner's tests, and every run of a deep suite."""

    owners: list[tuple[Program, Outcome]]
    suites: list[tuple[Run, Outcome]]


def exercise(repository: Repository, root: Path, folder: Path) -> Outcome:
    """The owner's commands, as the README of the generated repository says."""
    outcome = Outcome()
    shutil.copytree(repository.root, root)
    python = repository.answers["python_version"]
    given = variables(repository, folder)
    environment = Path(given["UV_PROJECT_ENVIRONMENT"])
    packages = environment / "lib" / f"python{python}" / "site-packages"
    outcome.attempt("lint", ["uv", "run", "nox", "--session", "lint"], root, given)
    outcome.tests(["uv", "run", "nox", "--session", "tests"], root, given)
    is_python = f"import sys; assert '%d.%d' % sys.version_info[:2] == '{python}'"
    outcome.attempt("python", [str(environment / "bin" / "python"), "-c", is_python], root, given)
    # deptry sees in PYTHONPATH which package has which module.
    deptry = ["deptry", "--no-ansi", "--per-rule-ignores", NOT_IMPORTED, "src"]
    outcome.attempt("dependencies", deptry, root, given | {"PYTHONPATH": str(packages)})
    return outcome


def exercise_suite(chosen: Run, repository: Repository, folder: Path) -> Outcome:
    """A deep suite, injected; with what it needs beside the owner's tests."""
    outcome = Outcome()
    root = folder / chosen.name
    shutil.copytree(repository.root, root)
    inject(chosen.suite, repository.answers, root / "deep")
    given = variables(repository, folder) | {"PYTHONPATH": str(root / "deep")}
    with_more = ["uv", "run", "--with=pytest-xdist"]
    outcome.attempt("types", ["uv", "run", "mypy", "deep"], root, given)
    outcome.tests([*with_more, "pytest", "deep", *DISTRIBUTED], root, given)
    return outcome


@pytest.fixture(scope="session")
def exercised(
    repositories: list[Repository], tmp_path_factory: pytest.TempPathFactory
) -> Exercised:
    folder = tmp_path_factory.mktemp("programs")

    def repository(answers: Answers) -> Repository:
        return next(each for each in repositories if each.answers == answers)

    with ThreadPoolExecutor(AT_ONCE, "environment") as pool:
        suites = [
            (each, pool.submit(exercise_suite, each, repository(each.answers), folder))
            for each in choose_runs()
        ]
        owners = [
            (Program(group), pool.submit(exercise, group[0], folder / str(number), folder))
            for number, group in enumerate(programs(repositories))
        ]
        return Exercised(
            [(program, done.result()) for program, done in owners],
            [(each, done.result()) for each, done in suites],
        )
