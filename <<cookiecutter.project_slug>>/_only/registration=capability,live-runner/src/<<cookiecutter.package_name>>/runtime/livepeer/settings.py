"""Settings of a container that registers itself at an orchestrator."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from ..settings import SettingsGroup


def base_url(url: str) -> str:
    """Without a final slash, because paths are appended to it (byoc/job_orchestrator.go)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an absolute http or https address")
    if parts.username or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("must be an address without user, query and fragment")
    return url.rstrip("/")


type BaseUrl = Annotated[str, Field(max_length=2048), AfterValidator(base_url)]


class OrchestratorSettings(SettingsGroup):
    """The orchestrator."""

    orchestrator_url: BaseUrl | None = Field(
        default=None,
        description="The orchestrator, https://orchestrator:8935 for example; unset, the container"
        " serves unregistered.",
    )
    orchestrator_secret: SecretStr | None = Field(
        default=None, validate_default=True, description="The orchestrator's -orchSecret."
    )
    container_url: BaseUrl | None = Field(
        default=None,
        validate_default=True,
        description="The job port as the orchestrator reaches it, http://my-model:8000 for"
        " example.",
    )
    registration_interval_seconds: float = Field(
        default=10,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="The longest pause between two attempts to register.",
    )

    @field_validator("orchestrator_secret")
    @classmethod
    def sendable(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """The secret is sent in a header."""
        text = secret.get_secret_value() if secret else ""
        if info.data.get("orchestrator_url") and not text:
            raise ValueError("must be set where BYOC_ORCHESTRATOR_URL is")
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValueError("must be printable ASCII without spaces at its ends")
        return secret

    @field_validator("container_url")
    @classmethod
    def reachable(cls, url: Any, info: ValidationInfo) -> Any:
        if info.data.get("orchestrator_url") and not url:
            raise ValueError("must be set where BYOC_ORCHESTRATOR_URL is")
        return url
