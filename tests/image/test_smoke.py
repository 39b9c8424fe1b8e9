"""The generated CI's own try of the image, as its runner would do it."""

import os
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from image.engine import Image, docker

SECONDS = 600


@pytest.fixture
def script(image: Image) -> Iterator[str]:
    """The last step's script, for the image that was built here under the name that CI gives it."""
    workflow = yaml.safe_load((image.root / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["image"]["steps"]
    (name,) = (step["with"]["tags"] for step in steps if "tags" in step.get("with", {}))
    docker("tag", image.tag, name)
    yield steps[-1]["run"]
    docker("image", "rm", name)


def test_smoke(image: Image, script: str) -> None:
    own = ("PYTEST_", "PYTHON", "VIRTUAL_ENV")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=image.root,
        env={name: value for name, value in os.environ.items() if not name.startswith(own)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
