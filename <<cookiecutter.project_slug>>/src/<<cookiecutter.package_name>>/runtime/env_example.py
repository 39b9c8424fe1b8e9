"""Writes `.env.example`: all settings of a container, with what they mean and their defaults."""

from collections.abc import Mapping
from textwrap import wrap

from .interface import ModelSettings
from .settings import Kinds, SettingsGroup, is_secret, variable_name

HEAD = """\
# Copy to .env: `uv run --env-file .env python -m {package}`, or `docker run --env-file .env ...`.
# What is commented out is the default. compose.yaml passes on only the variables that it names.
# `uv run nox -s settings` writes this file.
"""
WIDTH = 98


def env_example(kinds: Kinds, defaults: Mapping[str, str]) -> str:
    """A paragraph for each setting, below a heading for each group."""
    package = __package__.partition(".")[0]
    groups = [kind for kind in kinds if kind.model_fields]
    return "\n".join([HEAD.format(package=package), *(section(kind, defaults) for kind in groups)])


def section(kind: type[SettingsGroup], defaults: Mapping[str, str]) -> str:
    own = issubclass(kind, ModelSettings)
    title = (
        "The model's own settings" if own else (kind.__doc__ or "").partition("\n")[0].rstrip(".")
    )
    settings = [paragraph(kind, name, defaults) for name in kind.model_fields]
    return "\n".join([f"## {title}\n", *settings])


def paragraph(kind: type[SettingsGroup], name: str, defaults: Mapping[str, str]) -> str:
    field = kind.model_fields[name]
    variable = variable_name(kind, name)
    lines = [f"# {line}" for line in wrap(field.description or "", WIDTH, break_on_hyphens=False)]
    value = None if field.is_required() else field.default
    lines.append(f"# {variable}={default(variable, value, defaults)}")
    if is_secret(field):
        lines[-1:] = [f"# {variable}=", f"# {variable}_FILE="]
    return "\n".join([*lines, ""])


def default(variable: str, value: object, defaults: Mapping[str, str]) -> str:
    if variable in defaults:
        return defaults[variable]
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)
