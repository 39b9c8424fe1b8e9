"""A repository on a runner of its own, with the emulated orchestrator in go-livepeer's place."""

import json
import os
import shutil
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import yaml

from image.act import Run, act, commit
from image.engine import Image
from languages import run
from programs.suites import ORCHESTRATOR, TRICKLE, layers

# By what other tests have run in the image's repository.
MADE_LATER = shutil.ignore_patterns("uv.lock", ".venv", "checklist-report", "__pycache__")
TAG = {"ref": "refs/tags/v1.2.3", "repository": {"private": False}}
# At ports that are free, and not at 8935 and 8000, and in a session of its own, because act ends
# that of the step. Nothing is published.
DOCKER = """\
  run*" livepeer/go-livepeer:v0.9.1 "*)
    secrets="$PWD/secrets" python="$PWD/.venv/bin/python"
    [ ! -f "$secrets/runners.json" ] || sed --in-place --regexp-extended \\
      's/:8000/:{jobs}/; s/:8001/:{ops}/' "$secrets/runners.json"
    cd {folder}
    setsid "$python" -m orchestrator.server --port={port} \\
      --secret-file="$secrets/orchestrator_secret" {runners} >log 2>&1 &
    echo $! >pid
    exit ;;
  "buildx imagetools "*) exit ;;
"""
CURL = '  *) set -- "${{@//:8935/:{port}}}" ;;'
UV = """\
  "run python -m checklist "*)
    set -- "${{@//:8935/:{port}}}" --container-url=http://127.0.0.1:{jobs} {arguments} ;;
"""


def free_ports(count: int) -> int:
    """The first of so many in a row."""
    while True:
        with ExitStack() as stack, suppress(OSError):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            first: int = server.getsockname()[1]
            for port in range(first + 1, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def lay_orchestrator(image: Image, folder: Path) -> None:
    """The one for the registration of this image, and what it takes from the emulator."""
    for layer in layers(ORCHESTRATOR, image.answers):
        shutil.copytree(layer / "orchestrator", folder / "orchestrator", dirs_exist_ok=True)
    shutil.copytree(image.root / "emulator", folder / "emulator")
    for name in ("trickle.py", "listener.py"):
        shutil.copy(TRICKLE / name, folder / "emulator")


class Runner:
    """Of a repository that was committed with its lock file, or without. Runs one workflow."""

    def __init__(self, image: Image, folder: Path, *, lock: bool = True) -> None:
        self._image = image
        self._folder = folder
        self._root = shutil.copytree(image.root, folder / "repository", ignore=MADE_LATER)
        if lock:
            run("uv", "lock", "--quiet", cwd=self._root)
        commit(self._root)
        self._orchestrator = folder / "orchestrator"
        lay_orchestrator(image, self._orchestrator)

    def image(self) -> str:
        """What the checklist's workflow calls the image that it builds."""
        workflow = (self._root / ".github/workflows/checklist.yml").read_text()
        name: str = yaml.safe_load(workflow)["env"]["IMAGE"]
        return name

    def run(self, workflow: str, *event: str, arguments: str = "") -> Run:
        """`arguments` are added where the checklist is called."""
        static = self._image.answers["registration"] == "static"
        port = free_ports(3)
        values = {
            "folder": self._orchestrator,
            "port": port,
            "jobs": port + 1,
            "ops": port + 2,
            "runners": '--runners="$secrets/runners.json"' if static else "",
            "arguments": arguments,
        }
        instead = {"curl": CURL, "docker": DOCKER, "uv": UV}
        programs = {name: text.format(**values) for name, text in instead.items()}
        folder = self._folder / "act"
        try:
            return act(self._root, folder, workflow, *event, **programs)
        finally:
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((self._orchestrator / "pid").read_text()), signal.SIGTERM)

    def release(self, arguments: str) -> Run:
        """As for a tag that was pushed."""
        event = self._folder / "event.json"
        event.write_text(json.dumps(TAG))
        return self.run("release.yml", "push", f"--eventpath={event}", arguments=arguments)
