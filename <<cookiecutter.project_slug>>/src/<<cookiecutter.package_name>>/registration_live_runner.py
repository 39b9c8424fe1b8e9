"""What the orchestrator is told of a live runner, checked as go-livepeer will (contract §5)."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from .announcing import Announcing


class Registration(Announcing):
    """APP: what callers find the model by. PRICE_PER_UNIT: US dollars; ignored by orchestrators
    that are not on-chain. PRICE_UNIT: an hour, an hour of 720p, or a session.
    """

    app: str = Field(
        default="<<cookiecutter.__app>>/<<cookiecutter.capability_name>>",
        pattern=r"^[^\s/]+(/[^\s/]+)+$",
    )
    price_per_unit: Decimal = Field(default=Decimal("0.50"), gt=0, le=1_000_000)
    price_currency: Literal["usd"] = "usd"
    price_unit: Literal["hour", "720p", "fixed"] = "hour"
