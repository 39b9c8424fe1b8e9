"""`uvx nox` lints and tests; `uvx nox -s tests`, `lint` or `image` does one thing."""

import os

import nox

IMAGE = "<<cookiecutter.project_slug>>"

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "tests"]


def install(session: nox.Session) -> None:
    """The project and what uv.lock names, into the session's own environment."""
    folder = session.virtualenv.location
    session.run_install(
        "uv", "sync", "--quiet", f"--python={folder}", env={"UV_PROJECT_ENVIRONMENT": folder}
    )


@nox.session
def tests(session: nox.Session) -> None:
    install(session)
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


#% if cookiecutter.pipeline == "live-video-to-video"
@nox.session
def soak(session: nox.Session) -> None:
    """`-- --minutes 60` for longer than 5."""
    install(session)
    session.run("python", "tests/soak.py", *session.posargs, env={"PYTHONPATH": "."})


#% endif
@nox.session(venv_backend="none")
def image(session: nox.Session) -> None:
    """`-- --build-arg WEIGHTS=layer` and the like go to docker build."""
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    command = ["docker", "build", f"--tag={IMAGE}", *session.posargs, "."]
    session.run(*command, env=environment)
