"""Settings: read once from the environment; each is described once, in the class of its group."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

MEBIBYTE = 1024 * 1024
# go-livepeer sets these for the containers that it manages itself.
FOREIGN = {"MODEL_ID"}
# Of any pipeline: a capability is a route beside them.
ROUTES = {"health", "live-video-to-video", "openapi.json", "run", "stream"}

type Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
type Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(Exception):
    """One line that names the variable, the value and the rule."""


class SettingsGroup(BaseModel):
    """The settings of one part. A field's variable is the prefix and its name in capitals.

    Each field has a description, from which `.env.example` is written.
    """

    model_config = ConfigDict(frozen=True, validate_default=True)
    _prefix: ClassVar[str] = "BYOC_"


def no_route(name: str) -> str:
    if name in ROUTES:
        raise ValueError("is the name of a route")
    return name


type CapabilityName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$"), AfterValidator(no_route)
]


class ContainerSettings(SettingsGroup):
    """The container."""

    host: str = Field(
        default="0.0.0.0",
        description="The address to listen on: 0.0.0.0 is every one of IPv4, :: those of IPv6 too.",
    )
    port: Port = Field(default=8000, description="Port of jobs; 0 is any free one.")
    ops_port: Port = Field(
        default=8001, description="Port of /health, /livez and /metrics; 0 is any free one."
    )
    capability_name: CapabilityName = Field(
        description="The name under which callers ask for the model; jobs come at its route too."
    )
    capacity: int = Field(
        default=1, ge=1, le=1024, description="Sessions at once; a job is a session."
    )
    max_body_bytes: int = Field(
        default=32 * MEBIBYTE,
        ge=1024,
        le=1024 * MEBIBYTE,
        description="The largest request and answer; of video the largest picture, at 3 bytes a"
        " pixel.",
    )
    auth_token: SecretStr | None = Field(
        default=None, description="Callers must send `Authorization: Bearer <this>`."
    )
    body_timeout_seconds: Seconds = Field(
        default=30, description="How long a request's body may take to arrive."
    )
    drain_seconds: float = Field(
        default=0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="How long open sessions may take to end by themselves when the container is"
        " stopped.",
    )
    shutdown_grace_seconds: Annotated[Seconds, Field(ge=2)] = Field(
        default=8,
        description="How long the container takes from the end of the drain to its exit. Whoever"
        " stops it must wait for the sum of both and 2 s before it kills.",
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json: an object a line; console: for people to read."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR."
    )


type Kinds = tuple[type[SettingsGroup], ...]


class Settings:
    """The groups that were read, each under its class."""

    def __init__(self, groups: Iterable[SettingsGroup]) -> None:
        self._groups = {type(group): group for group in groups}

    def __getitem__[G: SettingsGroup](self, kind: type[G]) -> G:
        group = self._groups[kind]
        assert isinstance(group, kind)
        return group


def read_settings(kinds: Kinds, defaults: Mapping[str, str]) -> Settings:
    """`defaults` are values of variables that the environment does not set.

    Raises SettingsError with all wrong values on one line.
    """
    groups: list[SettingsGroup] = []
    errors: list[str] = []
    for kind in kinds:
        given = {}
        for name in kind.model_fields:
            try:
                if value := read_variable(kind, name, defaults):
                    given[name] = value
            except SettingsError as error:
                errors.append(str(error))
        try:
            groups.append(kind.model_validate(given))
        except ValidationError as error:
            errors += [describe_error(kind, each) for each in error.errors()]
    if errors:
        raise SettingsError("; ".join(errors))
    return Settings(groups)


def read_variable(kind: type[SettingsGroup], name: str, defaults: Mapping[str, str]) -> str | None:
    """Its value in the environment, else the default; `X_FILE` names a file with the secret `X`."""
    variable = variable_name(kind, name)
    value = os.environ.get(variable)
    path = os.environ.get(f"{variable}_FILE")
    if not path or not is_secret(kind.model_fields[name]):
        return value or defaults.get(variable)
    if value:
        raise SettingsError(f"{variable} and {variable}_FILE are both set: set one of them")
    try:
        secret = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE={path!r} can't be read: {error}") from None
    if not secret:
        raise SettingsError(f"{variable}_FILE={path!r} is empty")
    return secret


def unknown_variables(kinds: Kinds) -> list[str]:
    """Variables with a prefix of ours that no group has: most likely misspelled."""
    known = set(FOREIGN)
    for kind in kinds:
        for name, field in kind.model_fields.items():
            variable = variable_name(kind, name)
            known |= {variable, f"{variable}_FILE"} if is_secret(field) else {variable}
    prefixes = tuple({kind._prefix for kind in kinds})
    return sorted(name for name in os.environ if name.startswith(prefixes) and name not in known)


def describe_error(kind: type[SettingsGroup], error: Any) -> str:
    name = str(error["loc"][0])
    rule = error["msg"].removeprefix("Value error, ")
    variable = variable_name(kind, name)
    if error["input"] is None or error["type"] == "missing":
        return f"{variable} is not set: {rule}"
    shown = "..." if is_secret(kind.model_fields[name]) else repr(error["input"])
    return f"{variable}={shown}: {rule}"


def variable_name(kind: type[SettingsGroup], name: str) -> str:
    return f"{kind._prefix}{name.upper()}"


def is_secret(field: FieldInfo) -> bool:
    return field.annotation in (SecretStr, SecretStr | None)
