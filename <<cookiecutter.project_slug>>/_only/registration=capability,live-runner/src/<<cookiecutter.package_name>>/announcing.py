"""Settings of a container that announces itself: the orchestrator, and how it reaches us."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)


def base_url(url: str) -> str:
    """Paths are appended to it as they are, by us and by orchestrators (contract §2.2)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an absolute http or https address")
    if parts.username or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("must be an address without user, query and fragment")
    return url.rstrip("/")


type BaseUrl = Annotated[str, Field(max_length=2048), AfterValidator(base_url)]


class Announcing(BaseModel):
    """ORCHESTRATOR_URL: unset, the container serves without being announced.

    CONTAINER_URL: the job port, as the orchestrator reaches it. ORCHESTRATOR_TLS: `off` accepts any
    certificate, since orchestrators sign their own; or a file with those to trust.
    REGISTRATION_INTERVAL: the longest time between two words to the orchestrator.
    """

    orchestrator_url: BaseUrl | None = None
    orchestrator_secret: SecretStr | None = Field(default=None, validate_default=True)
    orchestrator_tls: Literal["off"] | Path = "off"
    container_url: BaseUrl | None = Field(default=None, validate_default=True)
    registration_interval_seconds: float = Field(default=10, ge=1, le=3600, allow_inf_nan=False)

    @field_validator("orchestrator_secret")
    @classmethod
    def sendable(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A header carries it."""
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

    @field_validator("orchestrator_tls")
    @classmethod
    def loadable(cls, trusted: Path | str) -> Path | str:
        if isinstance(trusted, Path):
            try:
                ssl.create_default_context(cafile=trusted)
            except (OSError, ValueError) as error:
                raise ValueError(f"must be off or a file of certificates: {error}") from None
        return trusted
