"""The generated workflows: valid, pinned, and with no more rights than they need."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import OPTIONS, TEMPLATE, Repository
from languages import run

ACTIONS = tomllib.loads(Path(__file__).with_name("actions.toml").read_text(encoding="utf-8"))
CALLED = "./.github/workflows/"


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


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


def test_actions_are_those_of_the_table(workflows: list[Path]) -> None:
    """By commit, with the version beside it; the template's own, too. No line of it is unused."""
    expected = {f"{name}@{it['sha']} # v{it['version']}" for name, it in ACTIONS.items()}
    own = [*TEMPLATE.joinpath(".github/workflows").iterdir()]
    texts = [path.read_text(encoding="utf-8") for path in (*workflows, *own)]
    used = {line for text in texts for line in re.findall(r"uses:\s*(.+)", text)}
    assert {line for line in used if not line.startswith(CALLED)} == expected


def test_rights_are_given_job_by_job(workflows: list[Path]) -> None:
    for path in workflows:
        workflow = load(path)
        assert workflow["permissions"] == {}, path
        for name, job in workflow["jobs"].items():
            assert "permissions" in job, f"{path}: {name}"
            assert ("timeout-minutes" in job) != ("uses" in job), f"{path}: {name}"


def test_called_workflow_is_there_and_has_its_rights(repositories: list[Repository]) -> None:
    for repository in repositories:
        folder = repository.root / ".github" / "workflows"
        job = load(folder / "release.yml")["jobs"]["checklist"]
        called = load(folder / job["uses"].removeprefix(CALLED))
        for each in called["jobs"].values():
            assert each["permissions"].items() <= job["permissions"].items()


def test_release_goes_to_the_registry_asked_for(repositories: list[Repository]) -> None:
    for repository in repositories:
        registry = repository.answers["registry"]
        path = repository.root / ".github" / "workflows" / "release.yml"
        text = path.read_text(encoding="utf-8")
        assert load(path)["env"]["IMAGE"] == f"{registry}/example/my-model"
        assert f"registry: {registry}\n" in text
        assert [other for other in OPTIONS["registry"] if other in text] == [registry]
        assert ("secrets." in text) == (registry == "docker.io")


def test_image_is_published_after_the_checklist(repositories: list[Repository]) -> None:
    for repository in repositories:
        jobs = load(repository.root / ".github/workflows/release.yml")["jobs"]
        assert [name for name, job in jobs.items() if job.get("needs") != "checklist"] == (
            ["checklist"]
        )


def test_reports_are_kept_when_the_checklist_fails(repositories: list[Repository]) -> None:
    for repository in repositories:
        (job,) = load(repository.root / ".github/workflows/checklist.yml")["jobs"].values()
        conditions = [step.get("if", "") for step in job["steps"] if "report" in str(step)]
        told = "${{ !cancelled() && steps.checklist.outcome != 'skipped' }}"
        assert conditions == [told, told]


def test_lock_file_must_be_there_and_new(workflows: list[Path]) -> None:
    """Before anything is made of it."""
    for path in workflows:
        for name, job in load(path)["jobs"].items():
            if "steps" in job:
                own = [step["run"] for step in job["steps"] if "run" in step]
                assert own[0] == "uv sync --locked", f"{path}: {name}"


def test_weights_are_fetched_before_they_are_needed(workflows: list[Path]) -> None:
    """And what is built is said by the Dockerfile alone."""
    needs = re.compile(r"docker/build-push-action@|nox -s .*tests")
    for path in workflows:
        for name, job in load(path)["jobs"].items():
            if "uses" in job:
                continue
            steps = [step.get("run", step.get("uses")) for step in job["steps"]]
            (fetched,) = (i for i, step in enumerate(steps) if step.endswith("nox -s weights"))
            needed = [i for i, step in enumerate(steps) if needs.search(step)]
            assert needed, f"{path}: {name}"
            assert fetched < min(needed), f"{path}: {name}"
            given = [step.get("with", {}).get("build-args", "") for step in job["steps"]]
            assert not re.search("APT_PACKAGES|BASE_IMAGE|WEIGHTS", "".join(given)), path
