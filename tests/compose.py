"""Docker Compose, if it is there."""

import os
import subprocess

import pytest

NO_COMPOSE = "NO DOCKER COMPOSE ANSWERS: no compose file was tried"


def compose_or_skip() -> None:
    """Without Compose a test is skipped, but where Docker must answer it fails."""
    try:
        command = ["docker", "compose", "version"]
        if subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0:
            return
    except (OSError, subprocess.TimeoutExpired):
        pass
    if os.environ.get("BYOC_REQUIRE_DOCKER", "0") != "0":
        pytest.fail(NO_COMPOSE, pytrace=False)
    pytest.skip(NO_COMPOSE)
