"""What the orchestrator is told of a capability, checked as go-livepeer will (contract §1.2)."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from .announcing import Announcing

MAX_INTEGER = 2**63 - 1
WEI = {"wei": 1, "eth": 10**18}


class Registration(Announcing):
    """The price of a second is PRICE_PER_UNIT / PRICE_SCALING; 0 is free."""

    price_per_unit: int = Field(default=0, ge=0, le=MAX_INTEGER)
    price_currency: Literal["wei", "eth"] = "wei"
    price_scaling: int = Field(default=1, ge=1, le=MAX_INTEGER)

    @field_validator("price_scaling")
    @classmethod
    def no_less_than_a_wei(cls, scaling: int, info: ValidationInfo) -> int:
        price = info.data.get("price_per_unit", 0) * WEI[info.data.get("price_currency", "wei")]
        if 0 < price < scaling:
            raise ValueError("makes the price less than 1 wei, for which orchestrators charge 0")
        return scaling
