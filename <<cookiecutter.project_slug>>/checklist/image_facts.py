"""An image's configuration and history, and the contents of each layer, even if deleted later."""

import json
import re
import subprocess
import tarfile
from functools import cache
from itertools import accumulate
from tempfile import NamedTemporaryFile
from typing import IO, Any, NamedTuple

from emulator.container import PACKAGE

SECONDS = 1800  # for the largest image
SMALL_BYTES = 1_000_000  # larger files are not read, because they are no settings
# Published packages: the keys in their tests and examples protect nothing.
PUBLISHED = re.compile(rf"(^|/)(lib/python3[\d.]*/(?!site-packages/{PACKAGE}/)|node_modules/)")
SECRET_FILE = re.compile(
    r"(^|/)(\.env(\.(?!example|sample|template)[^/]*)?|\.(netrc|npmrc|pypirc|git-credentials)"
    r"|id_(rsa|ecdsa|ed25519)|\.git/.+|secrets/.+|\.aws/credentials|\.docker/config\.json)$"
)
SECRET = re.compile(
    r"\b(gh[oprsu]_\w{36}|github_pat_\w{50}|glpat-[\w-]{20}|hf_\w{34}|nvapi-[\w-]{60}|npm_\w{36}"
    r"|AKIA(?!\w*EXAMPLE)[A-Z\d]{16}|AIza[\w-]{35}|sk-((ant|or|proj)-[\w-]{32}|\w{48})"
    r"|xox[abprs]-[\w-]{20}|pypi-AgE[\w-]{40}|dckr_pat_[\w-]{27})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.{0,200}?[\w+/]{40}",
    re.ASCII | re.DOTALL,
)


class Layer(NamedTuple):
    """The size of each file, the files with a secret, and the paths removed from earlier layers."""

    files: dict[str, int]
    secrets: list[str]
    removed: set[str]


def docker(*command: str) -> subprocess.CompletedProcess[str]:
    whole = ["docker", *command]
    return subprocess.run(whole, capture_output=True, text=True, timeout=SECONDS, check=False)


@cache
def config(image: str) -> dict[str, Any]:
    """The configuration that its containers start with."""
    found: dict[str, Any] = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]
    return found


@cache
def layers_and_steps(image: str) -> tuple[list[Layer], list[str]]:
    """The layers, and the build steps, which are more. Raises OSError if the disk is full."""
    with NamedTemporaryFile() as file:
        if (saved := docker("save", f"--output={file.name}", image)).returncode:
            raise OSError(saved.stderr)
        with tarfile.open(file.name) as archive:
            manifest = json.load(opened(archive, "manifest.json"))[0]
            history = json.load(opened(archive, manifest["Config"])).get("history", [])
            layers = [read_layer(opened(archive, name)) for name in manifest["Layers"]]
    return layers, [step.get("created_by", "") for step in history]


def opened(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    assert file, f"{member} is no file"
    return file


def read_layer(file: IO[bytes]) -> Layer:
    """From its archive, compressed or not. A file `.wh.x` removes `x` from the layers below."""
    layer = Layer({}, [], set())
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            folder, _, name = path.rpartition("/")
            if name.startswith(".wh."):
                removed = "" if name == ".wh..wh..opq" else name.removeprefix(".wh.")
                layer.removed.add(f"{folder}/{removed}".strip("/"))
            elif not member.isdir():
                layer.files[path] = member.size
                if 0 < member.size < SMALL_BYTES and not PUBLISHED.search(path):
                    text = opened(archive, member).read().decode(errors="replace")
                    if SECRET_FILE.search(path) or ("\0" not in text and SECRET.search(text)):
                        layer.secrets.append(path)
    return layer


@cache
def visible(image: str) -> dict[str, int]:
    """The files that a container sees, and their sizes."""
    seen: dict[str, int] = {}
    for layer in layers_and_steps(image)[0]:
        for path in [*seen]:
            if not layer.removed.isdisjoint(accumulate(path.split("/"), "{}/{}".format)):
                del seen[path]
        seen |= layer.files
    return seen
