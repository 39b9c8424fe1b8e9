"""Which certificates of an orchestrator's are accepted."""

import ssl
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

type Tls = ssl.SSLContext | bool
"""What aiohttp checks certificates with, False where it accepts any."""


def loadable(trusted: Literal["off"] | Path) -> Literal["off"] | Path:
    try:
        load(trusted)
    except (OSError, ValueError) as error:
        raise ValueError(f"must be off or a file of certificates: {error}") from None
    return trusted


def load(trusted: Literal["off"] | Path) -> Tls:
    return ssl.create_default_context(cafile=trusted) if isinstance(trusted, Path) else False


class Trust(BaseModel):
    """ORCHESTRATOR_TLS: `off` accepts any certificate, since orchestrators sign their own; or a
    file with those to trust.
    """

    orchestrator_tls: Annotated[Literal["off"] | Path, AfterValidator(loadable)] = "off"

    @cached_property
    def tls(self) -> Tls:
        return load(self.orchestrator_tls)
