"""Which certificates of an orchestrator are accepted."""

import ssl
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ..settings import SettingsGroup

type Tls = ssl.SSLContext | bool
"""The argument `ssl` of aiohttp; False accepts any certificate."""


def loadable(trusted: Literal["off"] | Path) -> Literal["off"] | Path:
    try:
        load(trusted)
    except (OSError, ValueError) as error:
        raise ValueError(f"must be off or a file of certificates: {error}") from None
    return trusted


def load(trusted: Literal["off"] | Path) -> Tls:
    return ssl.create_default_context(cafile=trusted) if isinstance(trusted, Path) else False


class TlsSettings(SettingsGroup):
    """The orchestrator's certificates."""

    orchestrator_tls: Annotated[Literal["off"] | Path, AfterValidator(loadable)] = Field(
        default="off",
        description="off accepts any certificate, because orchestrators sign their own; or a file"
        " of certificates to trust.",
    )

    @cached_property
    def tls(self) -> Tls:
        return load(self.orchestrator_tls)
