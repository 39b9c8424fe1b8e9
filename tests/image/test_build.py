"""What an image holds and says of itself, and what it is built from."""

import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness import Record
from image.engine import Image, build, docker, inspect

# Compilers, installers, caches, and what only the builder needs.
UNWANTED = re.compile(
    r"(^|/)bin/(uvx?|pip[\d.]*|cc|c\+\+|(.+-)?(gcc|g\+\+|clang|ld|make)(-[\d.]+)?)$"
    r"|/site-packages/(pip|uv)(-|/|$)"
    r"|(^|/)\.cache(/|$)"
    r"|^var/(cache/apt/archives/.+\.deb|lib/apt/lists/.+Packages.*)$"
    r"|^(build|wheel|src)(/|$)"
)


@pytest.fixture(scope="module")
def config(image: Image) -> dict[str, Any]:
    found: dict[str, Any] = inspect(image.tag)["Config"]
    return found


@pytest.fixture
def changed(first: Path, tmp_path: Path) -> Path:
    """A copy of the repository to change."""
    return shutil.copytree(first, tmp_path / "repository")


def contents(tag: str) -> list[tarfile.TarInfo]:
    """Every file of an image, as a container sees them."""
    name = docker("create", tag)
    command = ["docker", "export", name]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as export:
            return list(tarfile.open(fileobj=export.stdout, mode="r|"))
    finally:
        docker("rm", "--volumes", name)


def package(root: Path) -> str:
    return next((root / "src").iterdir()).name


def history(tag: str) -> list[str]:
    """The steps that an image was made by, first to last."""
    return docker("history", "--no-trunc", "--format={{.CreatedBy}}", tag).splitlines()[::-1]


def layers(tag: str) -> list[str]:
    found: list[str] = inspect(tag)["RootFS"]["Layers"]
    return found


def test_image_says_what_it_is(image: Image, config: dict[str, Any]) -> None:
    license_ = image.answers["license"]
    name = "org.opencontainers.image."
    expected = {
        f"{name}title": "my-model",
        f"{name}source": "https://github.com/example/my-model",
        f"{name}licenses": "LicenseRef-Proprietary" if license_ == "Proprietary" else license_,
        f"{name}revision": "0123abc",
        f"{name}version": "v1.2.3",
    }
    assert config["Labels"].items() >= expected.items()


def test_image_starts_python_itself_as_nobody(image: Image, config: dict[str, Any]) -> None:
    """With a shell in between no signal would arrive."""
    assert config["Entrypoint"] == ["python", "-m", package(image.root)]
    assert not config["Cmd"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["User"] == "10001:10001"
    assert set(config["ExposedPorts"]) == {"8000/tcp", "8001/tcp"}


def test_image_checks_its_health(config: dict[str, Any]) -> None:
    check = config["Healthcheck"]
    assert check["Test"][0] == "CMD"
    assert 0 < check["Timeout"] < check["Interval"]
    assert check["StartPeriod"] > 0


def test_environment(image: Image, config: dict[str, Any]) -> None:
    environment = dict(variable.split("=", 1) for variable in config["Env"])
    assert environment["PATH"].startswith("/opt/venv/bin:")
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["BYOC_WEIGHTS_DIR"] == "/models"
    capabilities = "compute,utility,video" if image.answers["accelerator"] == "nvidia" else None
    assert environment.get("NVIDIA_DRIVER_CAPABILITIES") == capabilities


def test_final_stage_holds_what_runs_and_no_more(image: Image, record_property: Record) -> None:
    files = contents(image.tag)
    assert [file.name for file in files if UNWANTED.search(file.name)] == []
    code = [file for file in files if file.name.startswith("opt/venv/")]
    assert [file.name for file in code if file.mode & 0o022 and not file.issym()] == []
    for module in (
        f"site-packages/{package(image.root)}/runtime/api/__pycache__/app",
        "http/__pycache__/client",
    ):
        compiled = re.compile(rf"/lib/python3\.\d+/{module}\.[\w-]+\.pyc$")
        assert any(compiled.search(file.name) for file in files), module
    megabytes = inspect(image.tag)["Size"] / 1e6
    record_property(f"image built: {' '.join(image.answers.values())}", f"{megabytes:.0f} MB")


def test_image_has_the_python_that_was_asked_for(image: Image) -> None:
    version = docker("run", "--rm", "--entrypoint=python", image.tag, "--version")
    assert version.startswith(f"Python {image.answers['python_version']}.")


def test_lock_file_decides_the_versions(changed: Path, tag: str) -> None:
    """Two versions that none would choose today."""
    locked = {"structlog": "25.5.0", "prometheus-client": "0.23.1"}
    pins = [f"--upgrade-package={name}=={version}" for name, version in locked.items()]
    subprocess.run(["uv", "lock", "--quiet", *pins], cwd=changed, timeout=60, check=True)
    done = build(changed, f"{tag}:locked")
    assert done.returncode == 0, done.stdout
    code = f"from importlib.metadata import version; print(*map(version, {[*locked]}))"
    found = docker("run", "--rm", "--entrypoint=python", f"{tag}:locked", "-c", code)
    assert found.split() == [*locked.values()]


def test_lock_file_out_of_date_fails_the_build(changed: Path, tag: str) -> None:
    subprocess.run(["uv", "lock", "--quiet"], cwd=changed, timeout=60, check=True)
    project = changed / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace("dependencies = [", 'dependencies = ["six",', 1))
    done = build(changed, f"{tag}:stale")
    assert done.returncode != 0
    assert "lockfile" in done.stdout
    assert "--locked" in done.stdout


def test_system_packages_are_set_in_the_dockerfile(changed: Path, tag: str) -> None:
    dockerfile = changed / "Dockerfile"
    text = dockerfile.read_text()
    assert 'ARG APT_PACKAGES=""\n' in text
    dockerfile.write_text(text.replace('APT_PACKAGES=""', 'APT_PACKAGES="hello libxcb1"', 1))
    name = f"{tag}:packages"
    done = build(changed, name)
    assert done.returncode == 0, done.stdout
    assert docker("run", "--rm", "--entrypoint=hello", name) == "Hello, world!"
    files = [file.name for file in contents(name)]
    assert any(file.endswith("/libxcb.so.1") for file in files)
    assert [file for file in files if UNWANTED.search(file)] == []


def test_no_system_packages_cost_nothing(image: Image) -> None:
    lines = docker("history", "--no-trunc", "--format={{.Size}} {{.CreatedBy}}", image.tag)
    assert [line.split()[0] for line in lines.splitlines() if "apt-get" in line] == ["0B"]


def test_weights_are_a_layer_before_the_code(changed: Path, tag: str) -> None:
    """What seldom changes comes first, so that an edit of the code costs one small layer."""
    (changed / "weights").mkdir()
    file = changed / "weights/model.bin"
    file.write_bytes(b"weights")
    file.chmod(0o600)
    name = f"{tag}:weights"
    done = build(changed, name, "--build-arg=WEIGHTS=layer")
    assert done.returncode == 0, done.stdout
    read = ("--entrypoint=cat", name, "/models/model.bin")
    assert docker("run", "--rm", *read) == "weights"
    steps = history(name)
    weights = next(i for i, step in enumerate(steps) if re.match(r"COPY .*weights /models\b", step))
    code = [i for i, step in enumerate(steps) if "/opt/venv" in step and not step.startswith("ENV")]
    assert code
    assert weights < min(code)

    source = changed / "src" / package(changed) / "model.py"
    source.write_text(source.read_text() + "\nEDITED = True\n")
    done = build(changed, f"{tag}:edited", "--build-arg=WEIGHTS=layer")
    assert done.returncode == 0, done.stdout
    before, after = layers(name), layers(f"{tag}:edited")
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_weights_are_a_volume_that_the_container_may_fill(image: Image) -> None:
    volume = docker("volume", "create")
    mount = ("--rm", "--read-only", f"--volume={volume}:/models", "--entrypoint=python")
    try:
        code = "open('/models/weights', 'w').write('filled')"
        docker("run", *mount, image.tag, "-c", code)
        assert docker("run", *mount, image.tag, "-c", "print(open('/models/weights').read())") == (
            "filled"
        )
    finally:
        docker("volume", "rm", volume)
