"""The checklist's workflow for a pull request, under act, as its runner would go through it."""

import json

from image.act import UPLOADS
from image.runner import Runner

# What differs by the image and by the registration; test_readme.py tries the others.
SHORT = "--only image --only registration"


def test_checklist_of_a_pull_request(runner: Runner) -> None:
    done = runner.run("checklist.yml", "pull_request", arguments=SHORT)
    assert done.jobs == {"checklist": "success"}, done.log
    assert set(done.steps.values()) == {"success"}
    (built,) = done.given("docker/build-push-action")
    assert (built["load"], built["tags"]) == ("true", runner.image())
    assert "REVISION=" in built["build-args"]
    assert len(done.calls("docker run --detach ")) == 1
    (call,) = done.calls("uv run python -m checklist ")
    assert f"--image {runner.image()} --quick " in call
    assert done.summary == (done.uploaded / "report.md").read_text()
    report = json.loads((done.uploaded / "report.json").read_text())
    assert report["outcome"] == "passed"
    assert len(done.given(UPLOADS)) == 1
    assert " passed" in done.log
