"""A wrong setting stops the start with exit code 2 and one line that says what is wrong."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.container import PACKAGE, StartContainer
from harness import ROOT, refuse_to_start
from my_model.settings import Settings, SettingsError, read_settings

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
        read_settings()
    assert f"{variable}='{value}'" in str(refusal.value)
    assert rule in str(refusal.value)


def test_every_setting_is_explained() -> None:
    folder = ROOT
    texts = [folder / name for name in (".env.example", "docs/orchestrator.md")]
    words = "".join(text.read_text() for text in texts)
    names = [f"BYOC_{name.upper()}" for name in Settings.model_fields]
    assert [name for name in names if name not in words] == []


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


def test_an_empty_value_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose passes variables that are not set as empty ones."""
    monkeypatch.setenv("BYOC_CAPACITY", "")
    assert read_settings() == Settings()
    assert read_settings().capacity == 1


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    monkeypatch.setenv("BYOC_AUTH_TOKEN_FILE", str(secret))
    token = read_settings().auth_token
    assert token is not None
    assert token.get_secret_value() == "from the file"


def test_two_sources_of_a_secret_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BYOC_AUTH_TOKEN", "from the environment")
    monkeypatch.setenv("BYOC_AUTH_TOKEN_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match="BYOC_AUTH_TOKEN_FILE") as refusal:
        read_settings()
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
        read_settings()


def test_the_console_form_is_for_people() -> None:
    code = f"""
import logging, structlog
from {PACKAGE}.logs import configure_logs
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
