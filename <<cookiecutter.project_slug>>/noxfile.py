"""`uv run nox` lints and tests; `uv run nox --list` lists all sessions, `-s NAME` runs one."""

import os
from pathlib import Path

import nox

IMAGE = "<<cookiecutter.project_slug>>"

# No other environment, because `uv run` has already made this one.
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]


@nox.session
def weights(session: nox.Session) -> None:
    """Fetch the weights that the model loads, also in CI and releases; the example has none."""
    Path("weights").mkdir(exist_ok=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; with `-- --image NAME` test_container.py tests this image."""
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and types."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def settings(session: nox.Session) -> None:
    """Write all settings, including the model's own, into .env.example."""
    command = ("python", "-m", "<<cookiecutter.package_name>>", "--settings")
    text = session.run(*command, silent=True, stderr=None)
    Path(".env.example").write_text(str(text), encoding="utf-8")


def build(session: nox.Session, *options: str) -> None:
    command = ["docker", "build", f"--tag={IMAGE}", *options, "."]
    session.run(*command, env=os.environ | {"DOCKER_BUILDKIT": "1"})


@nox.session
def image(session: nox.Session) -> None:
    """Build the image; `-- --build-arg WEIGHTS=layer` passes options to docker build."""
    build(session, *session.posargs)


@nox.session
def checklist(session: nox.Session) -> None:
    """Build the image and check it with the production checklist; `-- --quick` takes a minute."""
    build(session)
    session.run("python", "-m", "checklist", "--image", IMAGE, *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Send the sample for 5 minutes, or `-- --minutes 60`: nothing may leak."""
    session.run("python", "-m", "emulator.soak", "<<cookiecutter.__sample>>", *session.posargs)
