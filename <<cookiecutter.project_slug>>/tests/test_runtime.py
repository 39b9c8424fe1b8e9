"""The template's own files are unchanged, and `.env.example` agrees with the code."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from emulator.container import PACKAGE


def test_runtime_is_unchanged() -> None:
    """Undo what was changed, because an update of the template replaces the folder."""
    runtime = Path("src", PACKAGE, "runtime")
    files = [file.relative_to(runtime).as_posix() for file in sorted(runtime.rglob("*.py"))]
    found = [f"{sha256((runtime / file).read_bytes()).hexdigest()}  {file}" for file in files]
    assert found == (runtime / "checksums.txt").read_text(encoding="utf-8").splitlines()


def test_env_example_has_all_settings() -> None:
    """`uv run nox -s settings` writes them."""
    settings = subprocess.check_output([sys.executable, "-m", PACKAGE, "--settings"])
    assert Path(".env.example").read_bytes() == settings
