"""Every setting, read once from the environment; secrets also from files."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

#% if cookiecutter.pipeline == "live-video-to-video"
from .encoders import EncoderSetting
#% endif
from .registration import Registration

PREFIX = "BYOC_"
MEBIBYTE = 1024 * 1024

type Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
type Port = Annotated[int, Field(ge=0, le=65_535)]


# Of any pipeline: a name must not be mistaken for one of them.
ROUTES = {"health", "live-video-to-video", "openapi.json", "run", "stream"}


def no_route(name: str) -> str:
    if name in ROUTES:
        raise ValueError("is the name of a route")
    return name


type CapabilityName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$"), AfterValidator(no_route)
]


class SettingsError(Exception):
    """One line that names the variable, the value and the rule."""


class Settings(Registration):
    """The variable is `BYOC_` and the field's name in capitals. Port 0 is any free port.

    BODY_TIMEOUT: for a request's body to arrive. LOAD_TIMEOUT: for one start of the model.
    DRAIN: from SIGTERM on, for sessions to end by themselves. SHUTDOWN_GRACE: from then to the
    exit; containers are killed 10 s after SIGTERM by default.
    #% if cookiecutter.pipeline == "live-video-to-video"
    JOB_TIMEOUT: for one call of the model. MAX_LATENCY: a frame that is older is dropped when the
    model does not keep up. CONTROL_TIMEOUT: a session whose control channel is silent for so long
    ends. SESSION_IDLE: so does one without control, or behind a live-runner proxy, that gets no
    input for so long. UNPROCESSED_FRAMES: what becomes of those that the model failed on, and of
    all while it restarts. MAX_BODY_BYTES: the largest picture, at 3 bytes a pixel.
    #% else
    JOB_TIMEOUT: for the model, from the moment a job reaches it. SEND_TIMEOUT: for a caller to
    read on in an answer. MAX_BODY_BYTES: the largest request and answer.
    #% endif
    """

    model_config = ConfigDict(frozen=True, validate_default=True)

    host: str = "0.0.0.0"
    port: Port = 8000
    ops_port: Port = 8001
    capability_name: CapabilityName = "<<cookiecutter.capability_name>>"
    capacity: int = Field(default=1, ge=1, le=1024)
    max_body_bytes: int = Field(default=32 * MEBIBYTE, ge=1024, le=1024 * MEBIBYTE)
    auth_token: SecretStr | None = None
    body_timeout_seconds: Seconds = 30
    load_timeout_seconds: Seconds = 300
    #% if cookiecutter.pipeline == "live-video-to-video"
    job_timeout_seconds: Seconds = 10
    max_latency_seconds: Seconds = 0.5
    control_timeout_seconds: Seconds = 60
    session_idle_seconds: Seconds = 60
    video_encoder: EncoderSetting = "auto"
    unprocessed_frames: Literal["pass", "drop"] = "pass"
    #% else
    job_timeout_seconds: Seconds = 60
    send_timeout_seconds: Seconds = 10
    #% endif
    drain_seconds: float = Field(default=0, ge=0, le=86_400, allow_inf_nan=False)
    shutdown_grace_seconds: Annotated[Seconds, Field(ge=2)] = 8
    model: str = Field(default=f"{__package__}.model:Model", pattern=r"^[\w.]+:\w+$")
    weights_dir: Path = Path("weights")
    require_gpu: bool = False
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def read_settings() -> Settings:
    """Raises SettingsError with all wrong values on one line."""
    fields = Settings.model_fields
    values = {name: value for name, field in fields.items() if (value := given(name, field))}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("; ".join(map(describe, error.errors()))) from None


def given(name: str, field: FieldInfo) -> str | None:
    """What the environment says; `BYOC_X_FILE` is a file that holds the secret `BYOC_X`."""
    variable = f"{PREFIX}{name.upper()}"
    value = os.environ.get(variable)
    path = os.environ.get(f"{variable}_FILE")
    if not path or not is_secret(field):
        return value
    if value:
        raise SettingsError(f"{variable} and {variable}_FILE are both set: set one of them")
    try:
        secret = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE={path!r} can't be read: {error}") from None
    if not secret:
        raise SettingsError(f"{variable}_FILE={path!r} is empty")
    return secret


def unknown_settings() -> list[str]:
    """The variables with our prefix that mean nothing: most likely misspelled."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {
        f"{PREFIX}{name.upper()}_FILE"
        for name, field in Settings.model_fields.items()
        if is_secret(field)
    }
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def describe(error: Any) -> str:
    name = str(error["loc"][0])
    rule = error["msg"].removeprefix("Value error, ")
    if error["input"] is None:
        return f"{PREFIX}{name.upper()} is not set: {rule}"
    shown = "..." if is_secret(Settings.model_fields[name]) else repr(error["input"])
    return f"{PREFIX}{name.upper()}={shown}: {rule}"


def is_secret(field: FieldInfo) -> bool:
    return field.annotation == SecretStr | None
