"""A wrong setting stops the start with exit code 2 and one line that says what is wrong."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.container import PACKAGE, StartContainer
from harness import ROOT, read, refuse_to_start
from my_model.runtime.interface import ModelSettings
from my_model.runtime.settings import ContainerSettings, SettingsError
from my_model.runtime.worker.settings import WorkerSettings

WRONG = [
    ("BYOC_CAPACITY", "0", "greater than or equal to 1"),
    ("BYOC_PORT", "65536", "less than or equal to 65535"),
    ("BYOC_MAX_BODY_BYTES", "10", "greater than or equal to 1024"),
    ("BYOC_JOB_TIMEOUT_SECONDS", "nan", "finite number"),
    ("BYOC_LOAD_TIMEOUT_SECONDS", "0", "greater than 0"),
    ("BYOC_DRAIN_SECONDS", "soon", "valid number"),
    ("BYOC_SHUTDOWN_GRACE_SECONDS", "1", "greater than or equal to 2"),
    ("BYOC_CAPABILITY_NAME", "run", "name of a route"),
    ("BYOC_MODEL", "package.model", "match pattern"),
    ("BYOC_LOG_FORMAT", "xml", "'json' or 'console'"),
    ("BYOC_REQUIRE_GPU", "perhaps", "valid boolean"),
]


@pytest.mark.parametrize(("variable", "value", "rule"), WRONG)
def test_a_wrong_value_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refusal:
        read()
    assert f"{variable}='{value}'" in str(refusal.value)
    assert rule in str(refusal.value)


def test_pages_name_settings_as_they_are() -> None:
    """Each variable in them exists, and a value in brackets behind it is the default."""
    written = (ROOT / ".env.example").read_text()
    known = dict(re.findall(r"^# (BYOC_[A-Z_]+)=(.*)$", written, re.MULTILINE))
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text()
        assert {*re.findall(r"\bBYOC_[A-Z_]*[A-Z]", text)} <= known.keys(), page
        for variable, value in re.findall(r"`(BYOC_[A-Z_]+)` \(([\d.]+)[,)]", text):
            assert value == known[variable], (page, variable)


def test_wrong_values_end_the_start(tmp_path: Path) -> None:
    wrong = {variable: value for variable, value, _ in WRONG}
    code, words = refuse_to_start(tmp_path, **wrong)
    assert code == 2
    assert words.count("\n") == 1
    for variable in wrong:
        assert variable in words


def test_a_port_in_use_ends_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, words = refuse_to_start(tmp_path, BYOC_OPS_PORT=port)
    assert code == 2
    assert words.count("\n") == 1
    assert f"BYOC_OPS_PORT={port}" in words


def test_a_misspelled_setting_is_told(start_server: StartContainer) -> None:
    with start_server(ready=False, BYOC_CAPACTY="3", BYOC_AUTH_TOKEN_FILE="") as server:
        (warning,) = server.events("unknown settings")
        assert warning["names"] == ["BYOC_CAPACTY"]


def test_a_setting_of_managed_containers_is_no_mistake(start_server: StartContainer) -> None:
    """go-livepeer gives MODEL_ID and PIPELINE to the containers that it starts itself."""
    foreign = {"MODEL_ID": "some/model", "PIPELINE": "image-to-image", "MODEL_STEPZ": "4"}
    with start_server(ready=False, **foreign) as server:
        (warning,) = server.events("unknown settings")
        assert warning["names"] == ["MODEL_STEPZ"]


OWN_SETTINGS = f"""
import sys
from pydantic import Field
import {PACKAGE}.settings
from {PACKAGE}.runtime.interface import ModelSettings
class Settings(ModelSettings):
    steps: int = Field(default=4, ge=1, description="Denoising steps.")
{PACKAGE}.settings.Settings = Settings
from {PACKAGE}.__main__ import main
sys.exit(main())
"""


def test_a_wrong_setting_of_the_model_ends_the_start(tmp_path: Path) -> None:
    wrong = {"MODEL_STEPS": "0", "BYOC_CAPACITY": "none"}
    code, words = refuse_to_start(tmp_path, "-c", OWN_SETTINGS, **wrong)
    assert code == 2
    assert words.count("\n") == 1
    assert "MODEL_STEPS='0': Input should be greater than or equal to 1" in words
    assert "BYOC_CAPACITY='none'" in words


def test_a_setting_of_the_model_is_written_with_the_others() -> None:
    command = [sys.executable, "-c", OWN_SETTINGS, "--settings"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "# Denoising steps.\n# MODEL_STEPS=4\n" in done.stdout


@pytest.mark.parametrize("name", ["id", "read", "model_fields"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    """go-livepeer has one, and the class itself has some."""
    with pytest.raises(TypeError, match=f"can't be called {name}, because"):
        type("Settings", (ModelSettings,), {"__annotations__": {name: str}, name: "mine"})


def test_a_setting_may_be_called_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(ModelSettings):
        prefix: str = "a"

    monkeypatch.setenv("MODEL_PREFIX", "b")
    assert Settings.read().prefix == "b"


def test_an_empty_value_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose passes variables that are not set as empty ones."""
    monkeypatch.setenv("BYOC_CAPACITY", "")
    monkeypatch.setenv("BYOC_MODEL", "")
    assert read()[ContainerSettings].capacity == 1
    assert read()[WorkerSettings].model == f"{PACKAGE}.model:Model"


def test_the_environment_wins_over_the_owners_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOC_CAPABILITY_NAME", "another")
    assert read()[ContainerSettings].capability_name == "another"
    monkeypatch.delenv("BYOC_CAPABILITY_NAME")
    assert read()[ContainerSettings].capability_name == "my-model"


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    monkeypatch.setenv("BYOC_AUTH_TOKEN_FILE", str(secret))
    token = read()[ContainerSettings].auth_token
    assert token is not None
    assert token.get_secret_value() == "from the file"


def test_two_sources_of_a_secret_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BYOC_AUTH_TOKEN", "from the environment")
    monkeypatch.setenv("BYOC_AUTH_TOKEN_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match="BYOC_AUTH_TOKEN_FILE") as refusal:
        read()
    assert "from the environment" not in str(refusal.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_secret_file_without_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    """Serving without the token that was asked for would be worse than not serving."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    monkeypatch.setenv("BYOC_AUTH_TOKEN_FILE", str(secret))
    with pytest.raises(SettingsError, match="BYOC_AUTH_TOKEN_FILE"):
        read()


def test_the_console_form_is_for_people() -> None:
    code = f"""
import logging, structlog
from {PACKAGE}.runtime.logs import configure_logs
configure_logs("console", "INFO")
structlog.get_logger().info("first", count=1)
logging.getLogger("library").warning("second %d", 2)
structlog.get_logger().debug("third")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert "first" in first
    assert "count=1" in first
    assert "second 2" in second
