"""The commands of this repository.

python3.12 and python3.13 must be on the path: they are what generated repositories are tested with.
If python3.10 is there too, the hooks also run on it, the oldest Python that they support.
"""

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "render-and-test"]

PYTHON = "3.13"
PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, group: str) -> None:
    session.install(*nox.project.dependency_groups(PYPROJECT, group))


@nox.session(name="render-and-test", python=PYTHON)
def render_and_test(session: nox.Session) -> None:
    """Render every combination, run every distinct program, build images; ends with a table."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Check the template's own code; what it generates is checked where it is rendered."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check", "--diff")
    session.run("mypy")
    session.run("mypy", "--python-version=3.10", "--scripts-are-modules", "hooks")
    session.run("yamllint", "--strict", "--config-file=tests/yamllint.yaml", ".github")
    workflow = ".github/workflows/ci.yml"
    session.run("check-jsonschema", "--builtin-schema=vendor.github-workflows", workflow)
    session.run("zizmor", "--offline", "--persona=pedantic", workflow)
    session.run("shellcheck", ".ci/run", ".ci/base-images", ".ci/debian-mirror")


@nox.session(python=PYTHON)
def names(session: nox.Session) -> None:
    """Derive again which names no repository may take, after a change of dependencies or files."""
    install(session, "test")
    session.run("python", "-m", "answers.taken", env={"PYTHONPATH": "tests"})


@nox.session(python=PYTHON)
def settings(session: nox.Session) -> None:
    """Write `.env.example` of generated repositories again, after a change of settings."""
    install(session, "test")
    session.run("python", "-m", "answers.settings", env={"PYTHONPATH": "tests"})


@nox.session(python=PYTHON)
def benchmark(session: nox.Session) -> None:
    """Measure the generated container beside its peers; `-- --quick` takes under two minutes."""
    install(session, "test")
    session.run("python", "-m", "benchmarks", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python=PYTHON)
def mutants(session: nox.Session) -> None:
    """Show that each promise has a test that fails without its code; `-- -k WORD` takes a few."""
    install(session, "test")
    session.run("python", "-m", "mutants", *session.posargs, env={"PYTHONPATH": "tests"})
