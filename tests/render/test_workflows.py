"""The generated workflows: valid, pinned, and with no more rights than they need."""

import re
from pathlib import Path

import pytest
import yaml

from harness import OPTIONS, Repository
from languages import run


@pytest.fixture(scope="module")
def workflows(distinct: list[Path]) -> list[Path]:
    found = [path for path in distinct if path.parent.name == "workflows"]
    assert found
    return found


@pytest.fixture(scope="module")
def dependabot(distinct: list[Path]) -> list[Path]:
    found = [path for path in distinct if path.name == "dependabot.yml"]
    assert found
    return found


def test_schemas_hold(workflows: list[Path], dependabot: list[Path]) -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    run("check-jsonschema", "--builtin-schema", "vendor.dependabot", *dependabot)


def test_zizmor_finds_nothing(workflows: list[Path], dependabot: list[Path]) -> None:
    run("zizmor", "--offline", "--no-config", "--persona=pedantic", *workflows, *dependabot)


def test_actions_are_pinned_by_commit(workflows: list[Path]) -> None:
    pinned = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")
    loose = [
        f"{path}: {line}"
        for path in workflows
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses:" in line and not pinned.search(line)
    ]
    assert loose == []


def test_rights_are_given_job_by_job(workflows: list[Path]) -> None:
    for path in workflows:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {}, path
        for name, job in workflow["jobs"].items():
            assert "permissions" in job, f"{path}: {name}"
            assert "timeout-minutes" in job, f"{path}: {name}"


def test_release_goes_to_the_registry_asked_for(repositories: list[Repository]) -> None:
    for repository in repositories:
        registry = repository.answers["registry"]
        path = repository.root / ".github" / "workflows" / "release.yml"
        text = path.read_text(encoding="utf-8")
        assert yaml.safe_load(text)["env"]["IMAGE"] == f"{registry}/example/my-model"
        assert f"registry: {registry}\n" in text
        assert [other for other in OPTIONS["registry"] if other in text] == [registry]
        assert ("secrets." in text) == (registry == "docker.io")


def test_ci_refuses_a_lock_file_that_is_missing_or_old(repositories: list[Repository]) -> None:
    for repository in repositories:
        path = repository.root / ".github" / "workflows" / "ci.yml"
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        assert "uv sync --locked" in [step.get("run") for job in jobs for step in job["steps"]]


def test_weights_are_fetched_before_they_are_needed(workflows: list[Path]) -> None:
    """And what is built is said by the Dockerfile alone."""
    needs = re.compile(r"docker/build-push-action@|nox -s .*tests")
    for path in workflows:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            steps = [step.get("run", step.get("uses")) for step in job["steps"]]
            (fetched,) = (i for i, step in enumerate(steps) if step.endswith("nox -s weights"))
            needed = [i for i, step in enumerate(steps) if needs.search(step)]
            assert needed, f"{path}: {name}"
            assert fetched < min(needed), f"{path}: {name}"
            given = [step.get("with", {}).get("build-args", "") for step in job["steps"]]
            assert not re.search("APT_PACKAGES|BASE_IMAGE|WEIGHTS", "".join(given)), path
