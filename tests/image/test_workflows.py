"""The workflows under act, of one repository and of the template, and what makes them red."""

import json
import shutil
from pathlib import Path

import pytest

from harness import TEMPLATE
from image.act import DIGEST, UPLOADS, act, commit
from image.engine import Image, docker
from image.runner import Runner

PIPELINE = "batch"
BUILD = "docker/build-push-action"
CHECKLIST = "Run the checklist"
LOCK = "Fail if the lock file is missing or old"
PUBLISHED = "docker buildx imagetools create "
# Enough of it.
SHORT = "--only image"


@pytest.fixture
def bad(image: Image, runner: Runner, tmp_path: Path) -> Runner:
    """Its image starts as root."""
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {image.tag}\nUSER root\n")
    docker("build", f"--tag={runner.image()}", folder)
    return runner


@pytest.fixture
def unlocked(image: Image, tmp_path: Path) -> Runner:
    return Runner(image, tmp_path, lock=False)


@pytest.mark.parametrize(
    ("event", "quick"), [("pull_request", True), ("workflow_dispatch --input=extent=full", False)]
)
def test_failed_item_makes_the_job_red_and_is_told(bad: Runner, event: str, quick: bool) -> None:
    done = bad.run("checklist.yml", *event.split(), arguments=SHORT)
    assert done.exit_code == 1
    assert done.jobs == {"checklist": "failure"}, done.log
    assert done.failed == [CHECKLIST]
    (call,) = done.calls("uv run python -m checklist ")
    assert ("--quick" in call) == quick
    assert done.given(UPLOADS) == [{"name": "checklist-report", "path": "checklist-report"}]
    items = json.loads((done.uploaded / "report.json").read_text())["items"]
    (failed,) = (item for item in items if item["verdict"] == "failed")
    assert "root" in failed["words"]
    assert failed["title"] in done.summary


def test_release_is_published_after_the_full_checklist(runner: Runner) -> None:
    done = runner.release(SHORT)
    assert done.jobs == {"checklist": "success", "image": "success"}, done.log
    calls = ("uv run python -m checklist ", PUBLISHED)
    (checked,), (published,) = map(done.calls, calls)
    assert "--quick" not in checked
    assert done.commands.index(checked) < done.commands.index(published)
    image = "docker.io/example/my-model"
    tags = f"--tag {image}:v1.2.3 --tag {image}:latest"
    assert published == f"{PUBLISHED}{tags} {image}@{DIGEST}"
    tried, pushed = sorted(done.given(BUILD), key=lambda inputs: "outputs" in inputs)
    assert tried["load"] == "true"
    assert "push=true" in pushed["outputs"]
    assert tried["build-args"] == pushed["build-args"]
    assert "VERSION=v1.2.3" in pushed["build-args"]
    (attested,) = done.given("actions/attest")
    assert (attested["subject-name"], attested["subject-digest"]) == (image, DIGEST)
    assert f"`{image}:v1.2.3` is `{DIGEST}`" in done.summary


def test_release_of_what_fails_the_checklist_is_refused(bad: Runner) -> None:
    done = bad.release(SHORT)
    assert done.exit_code == 1
    assert done.jobs == {"checklist": "failure"}, done.log
    assert done.failed == [CHECKLIST]
    assert not done.given("docker/login-action")
    assert not done.calls(PUBLISHED)


@pytest.mark.parametrize("workflow", ["checklist.yml", "ci.yml", "release.yml"])
def test_lock_file_must_be_there(unlocked: Runner, workflow: str) -> None:
    done = unlocked.release("") if workflow == "release.yml" else unlocked.run(workflow, "push")
    assert done.exit_code == 1
    assert [*done.jobs.values()] == ["failure"], done.log
    assert done.failed == [LOCK]
    assert "Unable to find lockfile at `uv.lock`" in done.log
    assert "run `uv lock`" in done.log
    assert not done.given(BUILD)
    assert not done.calls("uv run ")


def test_ci_lints_and_tests(runner: Runner) -> None:
    done = runner.run("ci.yml", "pull_request")
    assert done.jobs == {"test": "success"}, done.log
    assert " passed" in done.log
    assert "Session lint was successful" in done.log


@pytest.mark.parametrize("lint", [0, 1])
def test_ci_of_the_template(tmp_path: Path, lint: int) -> None:
    """That it comes to its commands; what they do is this very run."""
    root = tmp_path / "template"
    shutil.copytree(TEMPLATE / ".github", root / ".github")
    commit(root)
    uvx = f"  *lint) exit {lint} ;;\n  *) exit ;;"
    done = act(root, tmp_path / "act", "ci.yml", "pull_request", uv="  *) exit ;;", uvx=uvx)
    assert done.exit_code == lint
    assert done.jobs == {"test": "failure" if lint else "success"}, done.log
    commands = ["uv python install 3.10 3.12 3.13", "uvx nox -s lint"]
    assert done.commands == commands + ([] if lint else ["uvx nox -s render-and-test"])
