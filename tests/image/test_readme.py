"""The README's way through the production checklist, command by command."""

import re
import shlex
from collections.abc import Iterator

import pytest

from image.checklist import run_there
from image.engine import Image, docker, run

PIPELINE = "batch"
NAME = "my-model"
SECTION = re.compile(r"^## Production checklist\n(.*?)^## ", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADINGS = ["GPU memory", "Graceful shutdown", "Health under load", "Monitoring", "Publish it"]


@pytest.fixture
def named(image: Image) -> Iterator[Image]:
    """It is called as the README calls it; the same name that was there before comes back."""
    before = run("image", "inspect", "--format={{.Id}}", NAME)
    docker("tag", image.tag, NAME)
    yield image
    docker("image", "rm", "--force", NAME)
    if before.returncode == 0:
        docker("tag", before.stdout.strip(), NAME)


def test_commands_of_the_production_checklist(named: Image) -> None:
    """The first one builds the image, of what has been built already, and tries all items."""
    readme = (named.root / "README.md").read_text(encoding="utf-8")
    (section,) = SECTION.findall(readme)
    assert re.findall(r"^### (.*)$", section, re.MULTILINE) == HEADINGS
    commands = COMMAND.findall(section)
    assert len(commands) == 5
    for command in commands:
        printed = run_there(named.root, *shlex.split(command))
        assert re.search(r"^\d+ passed.*: the container passes ", printed, re.MULTILINE), printed
