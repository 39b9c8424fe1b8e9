"""`uv run nox` lints and tests; `uv run nox -s checklist`, `soak` and the like do one thing."""

import os
from pathlib import Path

import nox

IMAGE = "<<cookiecutter.project_slug>>"

# uv has made the environment that this runs in.
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]


@nox.session
def weights(session: nox.Session) -> None:
    """Fetch what the model loads, here, in CI and for a release; the example loads nothing."""
    Path("weights").mkdir(exist_ok=True)


@nox.session
def tests(session: nox.Session) -> None:
    """`-- --image NAME` puts the container's tests to an image."""
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


def build(session: nox.Session, *options: str) -> None:
    command = ["docker", "build", f"--tag={IMAGE}", *options, "."]
    session.run(*command, env=os.environ | {"DOCKER_BUILDKIT": "1"})


@nox.session
def image(session: nox.Session) -> None:
    """`-- --build-arg WEIGHTS=layer` and the like go to docker build."""
    build(session, *session.posargs)


@nox.session
def checklist(session: nox.Session) -> None:
    """Build the image, and go through the production checklist; `-- --quick` takes a minute."""
    build(session)
    session.run("python", "-m", "checklist", "--image", IMAGE, *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """`-- --minutes 60` for longer than 5."""
    session.run("python", "-m", "emulator.soak", "<<cookiecutter.__sample>>", *session.posargs)
