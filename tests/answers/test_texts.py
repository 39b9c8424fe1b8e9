"""Free text: it comes out as it went in, or it is refused in words that name the answer."""

import json
import re
import tomllib
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import UndefinedVariableInTemplate
from jinja2 import TemplateSyntaxError

import languages
from harness import bake

NAMES = {"project_slug": "my-model", "package_name": "my_model", "capability_name": "my-model"}
TEXTS = ("project_name", "description", "author_name")
# How to read text back. In any other kind of file, workflows and Dockerfile among them, free text
# has no place: there it could be a command or an expression.
READERS: dict[str, Callable[[str], Any]] = {
    **{".json": json.loads, ".toml": tomllib.loads, ".md": str, "LICENSE": str}
}

ACCEPTED = [
    "x",
    "x" * 60,
    "O'B\"x\\",
    "\\",
    '"',
    '"""',
    "'''",
    "\\n \\x41 \\u0041 \\",
    "{{ cookiecutter.project_slug }} {% raw %} {# x #}",
    "${{ github.token }}",
    "$HOME ${HOME} $(id) `id`",
    "; exit 1 # && exit 1 || exit 1 | cat > /dev/null",
    "a >> b %> #>",
    "%s %(name)s {0} {name}",
    "key: value # comment",
    "- item",
    "[table]",
    '"] = 1 #',
    "&anchor *alias !!python/object:os.system",
    "null",
    "true",
    "# heading",
    "<script>alert(1)</script> <!-- -->",
    "-",
    "--help",
    "Zoë Ångström, Jr. 日本語 עברית",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f680 \U0001f469\u200d\U0001f52c",
]
REFUSED = [
    "",
    " ",
    " x",
    "x ",
    "a\nb",
    "a\tb",
    "a\rb",
    "a\x00b",
    "\x1b[31m",
    "a\u202eb",
    "a\u2028b",
    "a\ud800b",
    "x" * 300,
    "<< 7 * 7 >>",
    "a << 'b' >>",
    "a<# b #>c",
    "<% if true %>a<% endif %>",
    "a\n#% if true\nb\n#% endif",
]


def same(text: str) -> dict[str, str]:
    return NAMES | dict.fromkeys(TEXTS, text)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with `Marker` in the place of every free text."""
    return bake(tmp_path_factory.mktemp("model"), **same("Marker"))


def replaced(value: object, text: str) -> object:
    """The value with `Marker` replaced by the text, however deep it stands."""
    if isinstance(value, str):
        return value.replace("Marker", text)
    if isinstance(value, list):
        return [replaced(part, text) for part in value]
    if isinstance(value, dict):
        return {key: replaced(part, text) for key, part in value.items()}
    return value


@pytest.mark.parametrize("text", ACCEPTED)
def test_text_comes_out_as_it_went_in(text: str, model: Path, tmp_path: Path) -> None:
    root = bake(tmp_path, **same(text))
    changed = 0
    for path in (path for path in root.rglob("*") if path.is_file()):
        original = model / path.relative_to(root)
        if path.read_bytes() != original.read_bytes():
            read = READERS[path.name if path.name in READERS else path.suffix]
            expected = replaced(read(original.read_text(encoding="utf-8")), text)
            assert read(path.read_text(encoding="utf-8")) == expected, path
            languages.check(path)
            changed += 1
    assert changed >= 3, "pyproject.toml, README.md and .cookiecutter.json hold free text"


@pytest.mark.parametrize("text", REFUSED)
def test_text_is_refused(text: str, refused: Callable[..., str]) -> None:
    told = refused(**same(text))
    for answer in TEXTS:
        assert re.search(f"^{answer} '.*for example", told, re.MULTILINE)


@pytest.mark.parametrize("text", ["a << b", "<< b >>", "<% unknown %>", "#% unknown"])
def test_broken_template_is_refused_by_cookiecutter(text: str, tmp_path: Path) -> None:
    """What is given on the command line fails as a template, before any rule is asked."""
    with pytest.raises((TemplateSyntaxError, UndefinedVariableInTemplate)):
        bake(tmp_path, description=text)
    assert list(tmp_path.iterdir()) == []


def test_package_metadata_carries_the_text(tmp_path: Path) -> None:
    text = "O'B\"x\\ 日本語, Jr. \U0001f680"
    root = bake(tmp_path, **same(text))
    languages.run("uv", "build", "--quiet", "--wheel", cwd=root)
    (wheel,) = (root / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(archive.read(name), policy=modern)
    assert metadata["Summary"] == text
