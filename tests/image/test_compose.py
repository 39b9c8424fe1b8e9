"""The README's way to an orchestrator, with Docker Compose.

go-livepeer's image can't be had here: the emulated orchestrator takes its place, with the same
name, port, secret and files.
"""

import os
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from compose import compose_or_skip
from image.engine import DEADLINE_SECONDS, Container, Image, build, eventually
from image.runner import lay_orchestrator

COMMAND_SECONDS = 120
CLIP_FRAMES = 132
MINIMUM = 25
STANDIN = """\
FROM python:3.13-slim-trixie
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \\
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt pip install --root-user-action=ignore aiohttp
"""
# What the images and this machine make necessary, and no more.
OVERRIDE = """\
services:
  my-model:
    build: !reset null
    image: {image}
    deploy: !reset null
    environment:
      BYOC_REQUIRE_GPU: "0"
{model}    ports: !reset null
  orchestrator:
    image: {standin}
    entrypoint: [python, -m, orchestrator.server]
    command: {arguments}
    stop_signal: SIGINT
    working_dir: /standin
    volumes:
      - {programs}:/standin:ro
    ports: !override
      - "127.0.0.1:{port}:8935"
"""
GATED = """\
      BYOC_MODEL: models:Gated
      PYTHONPATH: /test
    volumes:
      - {models}:/test/models.py:ro
      - {gate}:/gate:ro
"""


def commands(root: Path) -> tuple[str, str]:
    """What the README says to start both with, and to send a job with."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Run it with an orchestrator\n")[2].partition("\n## ")[0]
    start, job = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return start, job


class Stack:
    """The container and the orchestrator of a repository, which both are another's neighbours."""

    def __init__(self, image: Image, project: str, override: Path, port: int) -> None:
        self._root = image.root
        self._port = port
        start, self._job = commands(image.root)
        files = re.findall(r"--file (\S+)", start)
        self._start = start.replace(files[-1], f"{files[-1]} --file {override}", 1)
        self._environment = {
            "COMPOSE_FILE": ":".join([*files, str(override)]),
            "COMPOSE_PROJECT_NAME": project,
        }

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=self._root,
            env=os.environ | self._environment | {"DOCKER_BUILDKIT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def compose(self, arguments: str) -> str:
        """What a command of Compose prints; it must succeed."""
        done = self.shell(f"docker compose {arguments}")
        assert done.returncode == 0, done.stdout + self.shell("docker compose logs").stdout
        return done.stdout.strip()

    def start(self) -> None:
        done = self.shell(self._start)
        assert done.returncode == 0, done.stdout + self.shell("docker compose logs").stdout

    def send(self, result: Path) -> subprocess.CompletedProcess[str]:
        """A job, through the orchestrator."""
        job = self._job.replace("127.0.0.1:8935", f"127.0.0.1:{self._port}")
        return self.shell(re.sub(r"\bout\.\w+", str(result), job))

    def answered(self, result: Path) -> None:
        """A job, once the orchestrator offers the model."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (done := self.send(result)).returncode != 0:
            assert time.monotonic() < deadline, done.stdout
            time.sleep(0.5)
        assert result.stat().st_size > 0

    def container(self, service: str = "my-model") -> Container:
        return Container(self.compose(f"ps --all --quiet {service}"))


@pytest.fixture(scope="session")
def standin(tag: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("standin")
    (folder / "Dockerfile").write_text(STANDIN)
    done = build(folder, f"{tag}:standin")
    assert done.returncode == 0, done.stdout
    return f"{tag}:standin"


@contextmanager
def stack(image: Image, standin: str, folder: Path, model: str = "") -> Iterator[Stack]:
    """Not started yet; in the end nothing is left of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    static = image.answers["registration"] == "static"
    arguments = [
        *("--host=0.0.0.0", "--port=8935", "--secret-file=/run/secrets/orchestrator_secret"),
        f"--service-url=https://127.0.0.1:{port}",
        "--runner-url=https://orchestrator:8935",
        *(["--runners=/config/runners.json"] if static else []),
    ]
    programs = folder / "programs"
    lay_orchestrator(image, programs)
    override = folder / "override.yaml"
    override.write_text(
        OVERRIDE.format(
            image=image.tag,
            standin=standin,
            programs=programs,
            model=model,
            arguments=arguments,
            port=port,
        )
    )
    created = Stack(image, f"byoc-template-test-{uuid.uuid4().hex[:12]}", override, port)
    try:
        yield created
    finally:
        created.compose("down --volumes --timeout 1")


@pytest.fixture(scope="module")
def running(
    image: Image, standin: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    compose_or_skip()
    with stack(image, standin, tmp_path_factory.mktemp("compose")) as started:
        started.start()
        yield started


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_readme_sends_a_job_through_the_orchestrator(running: Stack, tmp_path: Path) -> None:
    running.answered(tmp_path / "out.mp4")
    log = running.container().log()
    assert "unknown setting" not in log
    secret = running.compose("exec orchestrator cat /run/secrets/orchestrator_secret")
    assert len(secret) == 64
    assert secret not in running.compose("logs")


def test_container_serves_without_the_orchestrator(running: Stack, tmp_path: Path) -> None:
    """And is known again to one that has forgotten everything."""
    container = running.container()
    running.compose("stop orchestrator")
    assert container.health() == 200
    running.compose("up --detach --wait")
    assert running.container().name == container.name
    running.answered(tmp_path / "out.mp4")


def finished(service: Container) -> datetime:
    return datetime.fromisoformat(service.state["FinishedAt"])


def test_stop_lets_work_end_by_itself(
    image: Image,
    standin: str,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long it takes, and through an orchestrator that is still there."""
    compose_or_skip()
    monkeypatch.setenv("BYOC_DRAIN_SECONDS", "300")
    tmp_path.chmod(0o755)
    batch = image.answers["pipeline"] == "batch"
    models = Path(__file__).with_name("models.py")
    model = GATED.format(models=models, gate=tmp_path) if batch else ""
    with stack(image, standin, tmp_path, model) as started:
        started.start()
        container, orchestrator = started.container(), started.container("orchestrator")
        job = pool.submit(started.answered, tmp_path / "out.mp4")
        sample = "byoc_sessions_active" if batch else "byoc_frames_out_total"
        eventually(lambda: container.metric(sample) > (0 if batch else MINIMUM), "work in flight")
        stop = pool.submit(started.compose, "stop")
        eventually(lambda: container.events("admission closed"), "admission is closed")
        (tmp_path / "predict").touch()
        job.result()
        stop.result()
        assert container.state["ExitCode"] == 0, container.log()
        assert finished(container) < finished(orchestrator)
        if batch:
            (ended,) = container.events("job ended")
            assert ended["outcome"] == "ok"
        else:
            (ended,) = container.events("session ended")
            assert (ended["frames_in"], ended["frames_dropped"]) == (CLIP_FRAMES, {})
