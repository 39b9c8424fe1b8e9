"""Every distinct program is checked and runs its own tests, in the environment it asks for."""

import os
import re
import shutil
import signal
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import OPTIONS, Record, Repository, combinations, programs

MOST_PROGRAMS = 72
# Each keeps all processors busy by itself.
AT_ONCE = 1
MOST_SECONDS = 600
# Nothing imports it: uvicorn does, told by name.
NOT_IMPORTED = "DEP002=httptools"
# What this run was started with does not reach the programs.
OWN_VARIABLES = ("BYOC_", "NOX_", "PYTEST_", "PYTHON", "UV_PROJECT_", "VIRTUAL_ENV")


@dataclass
class Program:
    """A program, the repositories that consist of it, and what became of its checks."""

    repositories: list[Repository]
    failures: dict[str, str] = field(default_factory=dict)
    summary: str = "tests not passed"

    @property
    def root(self) -> Path:
        return self.repositories[0].root

    @property
    def python(self) -> str:
        return self.repositories[0].answers["python_version"]

    @property
    def name(self) -> str:
        """The choices of each option that this program stands for."""
        met = {option: {r.answers[option] for r in self.repositories} for option in OPTIONS}
        return " ".join("|".join(sorted(choices)) for choices in met.values())

    @property
    def needs(self) -> str:
        """Equal for programs that can share an environment."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        groups, build = project["dependency-groups"], project["build-system"]
        return repr((self.python, project["project"]["dependencies"], groups, build))


class CheckError(Exception):
    """A check that failed, with what it printed."""


def run(command: list[str], root: Path, variables: dict[str, str]) -> str:
    """What the command prints; CheckError if it fails, or is not done after MOST_SECONDS."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith(OWN_VARIABLES)}
    process = subprocess.Popen(
        command,
        cwd=root,
        env=kept | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        raise CheckError(f"{process.communicate()[0]}\nnot done after {MOST_SECONDS} s") from error
    if process.returncode:
        raise CheckError(output)
    return output


def counted(output: str) -> str:
    """The line in which pytest counts what passed."""
    lines = re.findall(r"^=+ (\d+ passed.*) =+$", output, re.MULTILINE)
    if not lines:
        raise CheckError(f"{output}\nno test passed")
    return str(lines[-1])


def exercise(program: Program, root: Path, environments: Path) -> None:
    """Run all checks of one program in a copy of it; no other may use the environments meanwhile.

    The tests run as the README of the generated repository says, but in an environment that
    programs with equal dependencies use one after the other.
    """
    shutil.copytree(program.root, root)
    nox = ["uvx", "--python", program.python, "nox", "--reuse-existing-virtualenvs"]
    sessions = [*nox, "--envdir", str(environments), "--sessions"]
    environment = environments / "tests"
    packages = environment / "lib" / f"python{program.python}" / "site-packages"
    is_python = f"import sys; assert '%d.%d' % sys.version_info[:2] == '{program.python}'"
    checks = {
        "lint": [*sessions, "lint"],
        "tests": [*sessions, "tests"],
        "python": [str(environment / "bin" / "python"), "-c", is_python],
        "dependencies": ["deptry", "--no-ansi", "--per-rule-ignores", NOT_IMPORTED, "src"],
    }
    for check, command in checks.items():
        # deptry sees in PYTHONPATH which package has which module.
        own = {"PYTHONPATH": str(packages)} if check == "dependencies" else {}
        try:
            output = run(command, root, own | {"UV_PYTHON_DOWNLOADS": "never"})
            if check == "tests":
                program.summary = counted(output)
        except (CheckError, OSError) as error:
            program.failures[check] = str(error)


@pytest.fixture(scope="session")
def exercised(
    repositories: list[Repository], tmp_path_factory: pytest.TempPathFactory
) -> list[Program]:
    """Every distinct program after its checks; those of one environment come one by one."""
    found = [Program(group) for group in programs(repositories)]
    assert len(found) <= MOST_PROGRAMS
    sharing: dict[str, list[Program]] = {}
    for program in found:
        sharing.setdefault(program.needs, []).append(program)

    def exercise_all(alike: list[Program]) -> None:
        folder = tmp_path_factory.mktemp("programs")
        for number, program in enumerate(alike):
            exercise(program, folder / str(number), folder / "environments")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(exercise_all, sharing.values()))
    return found


def test_programs_are_few(exercised: list[Program], record_property: Record) -> None:
    record_property("distinct programs exercised", f"{len(exercised)} of at most {MOST_PROGRAMS}")
    for program in exercised:
        failed = f", FAILED: {' '.join(program.failures)}" if program.failures else ""
        record_property(f"  {program.name}", program.summary + failed)
    assert len(exercised) <= MOST_PROGRAMS


@pytest.mark.parametrize("check", ["lint", "tests", "python", "dependencies"])
def test_every_program_passes(check: str, exercised: list[Program]) -> None:
    failures = [f"{p.name}\n{p.failures[check]}" for p in exercised if check in p.failures]
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)


def test_every_combination_is_covered_by_a_program(exercised: list[Program]) -> None:
    covered = [r.answers for p in exercised if not p.failures for r in p.repositories]
    assert [answers for answers in combinations() if answers not in covered] == []
