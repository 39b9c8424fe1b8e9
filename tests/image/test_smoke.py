"""The generated CI's own try of the image, as its runner would do it."""

import subprocess
from collections.abc import Iterator

import pytest
import yaml

from image.engine import Image, docker, run


@pytest.fixture
def script(image: Image) -> Iterator[str]:
    """The step's script, for the image that was built here under the name that CI gives it."""
    workflow = yaml.safe_load((image.root / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["image"]["steps"]
    (name,) = (step["with"]["tags"] for step in steps if "tags" in step.get("with", {}))
    (text,) = (step["run"] for step in steps if "run" in step)
    docker("tag", image.tag, name)
    yield text
    run("rm", "--force", "--volumes", "smoke")
    docker("image", "rm", name)


def test_smoke(image: Image, script: str) -> None:
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=image.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
