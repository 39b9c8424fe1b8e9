"""The images: few combinations, which meet every choice of every option."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from harness import OPTIONS, bake
from image.engine import Container, Image, Start, build, container, docker, run
from image.runner import Runner

NO_ENGINE = "NO DOCKER ENGINE ANSWERS: no image was built, run or stopped"


def covering() -> list[dict[str, str]]:
    """As many combinations as the longest option has choices meet every choice of each."""
    longest = max(map(len, OPTIONS.values()))
    return [
        {name: choices[number % len(choices)] for name, choices in OPTIONS.items()}
        for number in range(longest)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An image is one of each combination, or of those with the PIPELINE that the module names."""
    if "image" in metafunc.fixturenames:
        pipeline = getattr(metafunc.module, "PIPELINE", None)
        chosen = [answers for answers in covering() if pipeline in (None, answers["pipeline"])]
        names = ["-".join(answers.values()) for answers in chosen]
        metafunc.parametrize("image", chosen, indirect=True, ids=names, scope="session")


def engine_answers() -> bool:
    try:
        return run("version", seconds=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = terminalreporter.stats.get("skipped", []) + terminalreporter.stats.get("error", [])
    if any(NO_ENGINE in str(report.longrepr) for report in outcomes):
        terminalreporter.write_sep("!", NO_ENGINE, red=True, bold=True)


@pytest.fixture(scope="session")
def engine() -> None:
    """Without an engine the tests are skipped, but where one must answer they fail."""
    if not engine_answers():
        if os.environ.get("BYOC_REQUIRE_DOCKER", "0") != "0":
            pytest.fail(NO_ENGINE, pytrace=False)
        pytest.skip(NO_ENGINE)


@pytest.fixture(scope="session")
def tag(engine: None) -> Iterator[str]:
    """A name for the images of this run; whatever is built with it is removed at the end."""
    name = f"byoc-template-test-{uuid.uuid4().hex[:12]}"
    yield name
    named = ("--format={{.Repository}}:{{.Tag}}", f"--filter=reference={name}")
    if built := docker("image", "ls", *named).split():
        docker("image", "rm", "--force", *built)


@pytest.fixture(scope="session")
def built() -> dict[str, Image]:
    """By their tags: each is built once, however the tests take turns."""
    return {}


@pytest.fixture(scope="session")
def image(
    request: pytest.FixtureRequest,
    tag: str,
    built: dict[str, Image],
    tmp_path_factory: pytest.TempPathFactory,
) -> Image:
    answers: dict[str, str] = request.param
    name = f"{tag}:{'-'.join(answers.values()).lower()}"
    if name not in built:
        root = bake(tmp_path_factory.mktemp("repository"), **answers)
        done = build(root, name, "--build-arg=REVISION=0123abc", "--build-arg=VERSION=v1.2.3")
        assert done.returncode == 0, done.stdout
        built[name] = Image(name, root, answers)
    return built[name]


@pytest.fixture(scope="session")
def first(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the first choices, which tests may copy and change."""
    return bake(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def server(image: Image) -> Iterator[Container]:
    """One container for all tests that leave it sound."""
    with container(image.tag) as running:
        running.wait_healthy()
        yield running


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Start:
    """A container whose model the test chooses; `open_gate` lets gated models go on."""
    models = Path(__file__).with_name("models.py")
    tmp_path.chmod(0o755)
    mounts = (f"--volume={models}:/test/models.py:ro", f"--volume={tmp_path}:/gate:ro")
    return partial(container, image.tag, *mounts, PYTHONPATH="/test", BYOC_CAPACITY="2")


@pytest.fixture
def runner(image: Image, tmp_path: Path) -> Iterator[Runner]:
    """For the workflows of a repository; what they build is there already."""
    created = Runner(image, tmp_path)
    name = created.image()
    docker("tag", image.tag, name)
    yield created
    docker("image", "rm", name)
