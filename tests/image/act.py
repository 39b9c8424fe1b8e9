"""Workflows run by act, on this machine and offline.

Their own steps are run as they are. In the place of foreign actions are stand-ins, which note what
they are given and keep what they are to upload. A program in whose place something else may be done
notes how it is called.
"""

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from languages import run
from programs.environment import inherited

SECONDS = 1800
RUNNER = "ubuntu-24.04"
DIGEST = f"sha256:{'0' * 64}"
UPLOADS = "actions/upload-artifact"
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")

NOTING = """\
cp --recursive "$UPLOADED" {folder}/uploaded 2>/dev/null || true
printf '%s' "$INPUTS" >"$(mktemp {folder}/noted/{name}.XXXXXX)"
"""
# `instead` is the body of a `case`; what exits there is not passed on to the real program.
WRAPPER = """\
#!/usr/bin/env bash
set -euo pipefail
printf '%s\\n' "{program} $*" >>{folder}/commands
case "$*" in
{instead}
esac
exec {real} "$@"
"""


@dataclass(frozen=True)
class Run:
    """What act told of a workflow; `folder` holds what the stand-ins noted."""

    folder: Path
    exit_code: int
    output: str

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    @property
    def jobs(self) -> dict[str, str]:
        """How each job that ran has ended, by its id; that of a called workflow has its own."""
        return {it["jobID"]: it["jobResult"] for it in self.events if "jobResult" in it}

    @property
    def steps(self) -> dict[str, str]:
        """How each step that ran has ended, by its name or what it uses."""
        return {
            it["step"].partition("@")[0]: it["stepResult"]
            for it in self.events
            if it.get("stage") == "Main" and "stepResult" in it and len(it["stepID"]) == 1
        }

    @property
    def failed(self) -> list[str]:
        return [step for step, result in self.steps.items() if result == "failure"]

    @property
    def summary(self) -> str:
        return "".join(it["content"] for it in self.events if it.get("command") == "summary")

    @property
    def log(self) -> str:
        """What act says and what the steps print."""
        told = "\n".join(it["msg"].removesuffix("\n") for it in self.events)
        return f"{told}\n{self.output.rpartition('}')[2]}"

    def given(self, action: str) -> list[dict[str, str]]:
        """The inputs of an action, each time that it was used; only those that have a value."""
        noted = self.folder.joinpath("noted").glob(f"{slashless(action)}.*")
        found = [json.loads(path.read_text()) for path in noted]
        return [{name: value for name, value in inputs.items() if value} for inputs in found]

    @property
    def uploaded(self) -> Path:
        """A copy of the last folder that was uploaded."""
        return self.folder / "uploaded"

    @property
    def commands(self) -> list[str]:
        return self.folder.joinpath("commands").read_text().splitlines()

    def calls(self, beginning: str) -> list[str]:
        return [command for command in self.commands if command.startswith(beginning)]


def slashless(action: str) -> str:
    return action.replace("/", "+")


def commit(root: Path) -> None:
    """The folder becomes a repository, with all that is in it in one commit."""
    run("git", "init", "--quiet", "--initial-branch=main", cwd=root)
    run("git", "add", "--all", cwd=root)
    run("git", *IDENTITY, "commit", "--quiet", "--message=Begin", cwd=root)


def uses(workflows: Path) -> dict[str, set[str]]:
    """Every foreign action, with the names of the inputs that it is given anywhere."""
    found: dict[str, set[str]] = {}
    for path in workflows.iterdir():
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job.get("steps", []):
                if "uses" in step:
                    found.setdefault(step["uses"], set()).update(step.get("with", {}))
    return found


def stand_in(folder: Path, name: str, inputs: set[str]) -> Path:
    uploaded = "${{ inputs.path }}" if name == UPLOADS else ""
    step = {
        "shell": "bash",
        "env": {"INPUTS": "${{ toJSON(inputs) }}", "UPLOADED": uploaded},
        "run": NOTING.format(folder=folder, name=slashless(name)),
    }
    action = {
        "name": name,
        "inputs": {each: {"description": each} for each in inputs},
        "outputs": {"digest": {"description": "of an image", "value": DIGEST}},
        "runs": {"using": "composite", "steps": [step]},
    }
    path = folder / "actions" / slashless(name)
    path.mkdir(parents=True, exist_ok=True)
    (path / "action.yml").write_text(yaml.safe_dump(action))
    return path


def wrap(folder: Path, program: str, instead: str) -> None:
    path = folder / "bin" / program
    path.parent.mkdir(exist_ok=True)
    real = shlex.quote(shutil.which(program) or "false")
    path.write_text(WRAPPER.format(program=program, folder=folder, instead=instead, real=real))
    path.chmod(0o755)


def act(root: Path, folder: Path, workflow: str, *event: str, **instead: str) -> Run:
    """Run a workflow of the repository for an event; `instead` is by program, as WRAPPER says."""
    (folder / "noted").mkdir(parents=True)
    (folder / "commands").touch()
    for program, script in instead.items():
        wrap(folder, program, script)
    workflows = root / ".github" / "workflows"
    actions = [
        f"--local-repository={name}={stand_in(folder, name.partition('@')[0], inputs)}"
        for name, inputs in uses(workflows).items()
    ]
    done = subprocess.run(
        [
            *("act", *event, "--json", f"--workflows={workflows / workflow}", *actions),
            *(f"--platform={RUNNER}=-self-hosted", "--no-cache-server"),
            f"--action-cache-path={folder / 'workspace'}",
        ],
        cwd=root,
        env=inherited() | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Run(folder, done.returncode, done.stdout)
