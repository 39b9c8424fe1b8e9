"""Settings of a capability, checked by the rules of go-livepeer (core/external_capabilities.go)."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from ..settings import SettingsGroup
from .settings import OrchestratorSettings
from .tls import TlsSettings

MAX_INTEGER = 2**63 - 1
WEI = {"wei": 1, "eth": 10**18}


class CapabilitySettings(SettingsGroup):
    """The price of the capability."""

    price_per_unit: int = Field(
        default=0,
        ge=0,
        le=MAX_INTEGER,
        description="The price of a second, times BYOC_PRICE_SCALING; 0 is free.",
    )
    price_currency: Literal["wei", "eth"] = Field(default="wei", description="wei or eth.")
    price_scaling: int = Field(
        default=1,
        ge=1,
        le=MAX_INTEGER,
        description="The number that BYOC_PRICE_PER_UNIT is divided by.",
    )

    @field_validator("price_scaling")
    @classmethod
    def no_less_than_a_wei(cls, scaling: int, info: ValidationInfo) -> int:
        price = info.data.get("price_per_unit", 0) * WEI[info.data.get("price_currency", "wei")]
        if 0 < price < scaling:
            raise ValueError("makes the price less than 1 wei, for which orchestrators charge 0")
        return scaling


REGISTRATION_SETTINGS = (TlsSettings, OrchestratorSettings, CapabilitySettings)
