"""Images with one fault each: the item for it fails, and nothing else but what needs that item."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image.checklist import OF_IMAGE, check, dependents, python, structure
from image.engine import Image, docker

PIPELINE = "batch"
BROKEN = tomllib.loads(Path(__file__).with_name("broken.toml").read_text())["image"]
# All items of each image, and not only those that its fault concerns: on demand.
MATRIX = ("image",) if os.environ.get("BYOC_WHOLE_MATRIX") else ()
DELETED = "RUN mkdir /models/.aws && echo x > /models/.aws/credentials\nRUN rm -r /models/.aws\n"
SAVES_OCI = """#!/bin/sh
[ "$1" != save ] || {{ touch "${{0%/*}}/used" && cp {archive} "${{2#--output=}}" && exit; }}
exec {docker} "$@"
"""
NAMES = [f"{each['item']}: {each['fault']}" for each in BROKEN]


@pytest.fixture(params=BROKEN, ids=NAMES)
def fault(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.fixture
def broken(image: Image, fault: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The good image with the fault."""
    (tmp_path / "Dockerfile").write_text(f"FROM {image.tag}\n{fault['dockerfile']}\n")
    name = f"{image.tag}-broken"
    docker("build", "--tag", name, tmp_path)
    yield name
    docker("image", "rm", "--force", name)


def save_as_oci(saved: Path, target: Path) -> None:
    """The archive of an image in the other form."""
    with tarfile.open(saved) as old, tarfile.open(target, "w") as new:

        def read(name: str) -> bytes:
            file = old.extractfile(name)
            assert file
            return file.read()

        def add(data: bytes, name: str = "") -> str:
            member = tarfile.TarInfo(name or f"blobs/sha256/{hashlib.sha256(data).hexdigest()}")
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
            return member.name

        (manifest,) = json.loads(read("manifest.json"))
        manifest["Config"] = add(read(manifest["Config"]))
        manifest["Layers"] = [add(gzip.compress(read(each), 1)) for each in manifest["Layers"]]
        add(json.dumps([manifest]).encode(), "manifest.json")


def test_exactly_its_item_fails(image: Image, broken: str, fault: dict[str, Any]) -> None:
    item = fault["item"]
    blocked = dependents(image.root, item)
    found = {each["id"]: each for each in check(image.root, broken, item, *blocked, *MATRIX)}
    told = {name: (each["verdict"], each["words"]) for name, each in found.items()}
    assert told[item][0] == "failed", told
    assert [words for words in fault.get("words", []) if words not in told[item][1]] == [], told
    assert {name for name in told if told[name][0] == "blocked"} == blocked, told
    others = {*told} - {item} - blocked
    assert {name: told[name] for name in others if told[name][0] != "passed"} == {}
    if "unseen" not in fault:
        assert {*structure(broken)} == {item}


def test_every_item_has_a_fault(image: Image) -> None:
    assert {*python(image.root, "-c", OF_IMAGE).split()} == {each["item"] for each in BROKEN}


def test_archives_of_other_engines_are_read(image: Image, tag: str, tmp_path: Path) -> None:
    """As an OCI layout of compressed layers, which Docker saves since version 25."""
    name = f"{tag}:deleted"
    (tmp_path / "Dockerfile").write_text(f"FROM {image.tag}\n{DELETED}")
    docker("build", "--tag", name, tmp_path)
    docker("save", f"--output={tmp_path}/saved.tar", name)
    save_as_oci(tmp_path / "saved.tar", tmp_path / "oci.tar")
    program = tmp_path / "docker"
    program.write_text(
        SAVES_OCI.format(docker=shutil.which("docker"), archive=tmp_path / "oci.tar")
    )
    program.chmod(0o755)
    (found,) = check(image.root, name, "secrets", path=str(tmp_path))
    assert "/models/.aws/credentials in layer 7 of 8" in found["words"]
    assert (tmp_path / "used").exists()
