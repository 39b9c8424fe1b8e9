"""Runs the production checklist in a generated repository, and what judges images beside it."""

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from programs.environment import inherited

SECONDS = 600
STRUCTURE = yaml.safe_load(Path(__file__).with_name("structure.yaml").read_text())
NEEDS = """
import json
from checklist.items import ALL
print(json.dumps({item.id: [need.id for need in item.needs] for item in ALL}))
"""
OF_IMAGE = """
from checklist.items import ALL
print(*(item.id for item in ALL if item.module() == "image"))
"""


def run_there(root: Path, *command: str, path: str = "") -> str:
    """What a command prints in the repository; `path` is searched for programs first."""
    given = inherited()
    done = subprocess.run(
        command,
        cwd=root,
        env=given | {"PATH": os.pathsep.join(filter(None, [path, given["PATH"]]))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def python(root: Path, *arguments: str, path: str = "") -> str:
    """What Python prints in the repository's environment."""
    return run_there(root, "uv", "run", "--quiet", "python", *arguments, path=path)


def check(root: Path, tag: str, *only: str, path: str = "") -> list[dict[str, Any]]:
    """The findings of a quick run of these items, or groups of items."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = [f"--only={name}" for name in only]
        options = (f"--image={tag}", "--quick", f"--report={folder}", *chosen)
        printed = python(root, "-m", "checklist", *options, path=path)
        report = Path(folder, "report.json")
        assert report.exists(), printed
        items: list[dict[str, Any]] = json.loads(report.read_text())["items"]
        return items


@cache
def needs_of_all(root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(python(root, "-c", NEEDS))
    return found


def dependents(root: Path, item: str) -> set[str]:
    """All that need it, or one that does."""
    needs = needs_of_all(root)
    found: set[str] = set()
    while new := {name for name in needs if {item, *found} & {*needs[name]}} - found:
        found |= new
    return found


def structure(tag: str) -> dict[str, list[str]]:
    """What container-structure-test finds wrong, by the item that it belongs to."""
    return {item: errors for item in STRUCTURE if (errors := structure_of(tag, item))}


def structure_of(tag: str, item: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "structure.yaml")
        config.write_text(yaml.safe_dump({"schemaVersion": "2.0.0", **STRUCTURE[item]}))
        command = ["container-structure-test", "test", "--output=json", f"--image={tag}"]
        done = subprocess.run(
            [*command, f"--config={config}"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    found = json.loads(done.stdout)
    assert found["Total"] > 0
    return [words for each in found["Results"] for words in each.get("Errors", [])]
