"""What it takes for a generated file to be right in its own language, linters included."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import yaml
from jinja2 import Environment

YAMLLINT = Path(__file__).with_name("yamllint.yaml")


def run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"


def python(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"))


def toml(path: Path) -> None:
    tomllib.loads(path.read_text(encoding="utf-8"))


def json_(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def yaml_(path: Path) -> None:
    yaml.safe_load(path.read_text(encoding="utf-8"))
    run("yamllint", "--strict", "--config-file", YAMLLINT, path)


def dockerfile(path: Path) -> None:
    run("hadolint", "--no-color", path)


def shell(path: Path) -> None:
    run("shellcheck", path)


def c(path: Path) -> None:
    run("cc", "-Wall", "-Wextra", "-Werror", "-c", "-o", "/dev/null", path)


def environment(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"|#.*|[A-Z_]+=\S*", line), f"{path}: {line}"


def plain(path: Path) -> None:
    """Text for people, or a list of patterns: it only has to end its lines as a text does."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n"), path
    assert re.search(r"[ \t\r]$", text, re.MULTILINE) is None, path


def jinja(path: Path) -> None:
    """A template that the generated program fills in, by Jinja's own signs."""
    plain(path)
    Environment(autoescape=True).parse(path.read_text(encoding="utf-8"))


def picture(path: Path) -> None:
    assert path.read_bytes().startswith(b"\xff\xd8\xff"), path


def video(path: Path) -> None:
    assert path.read_bytes()[4:8] == b"ftyp", path


LANGUAGES: dict[str, Callable[[Path], None]] = {
    **{".py": python, ".toml": toml, ".json": json_, ".yml": yaml_, ".yaml": yaml_},
    **{"Dockerfile": dockerfile, ".sh": shell, ".c": c, ".jpg": picture, ".md": plain},
    **{".env.example": environment, ".python-version": plain, "LICENSE": plain},
    **{".html": jinja, ".mp4": video, ".txt": plain},
    **{".dockerignore": plain, ".gitattributes": plain, ".gitignore": plain},
}


def check(path: Path) -> None:
    """Fail with the linter's own words if the file is wrong, or its language unknown."""
    LANGUAGES[path.name if path.name in LANGUAGES else path.suffix](path)
