"""What the orchestrator is told of a live runner, checked as go-livepeer will (contract §5)."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .announcing import Announcing


def pipeline_and_model(app: str) -> str:
    if not re.fullmatch(r"[^\s/]+(/[^\s/]+)+", app):
        raise ValueError("must be of the form pipeline/model")
    return app


type App = Annotated[str, AfterValidator(pipeline_and_model)]


class Registration(Announcing):
    """APP: what callers find the model by. PRICE_PER_UNIT: US dollars; ignored by orchestrators
    that are not on-chain. PRICE_UNIT: an hour, an hour of 720p, or a session.
    """

    app: App = "<<cookiecutter.__app>>/<<cookiecutter.capability_name>>"
    price_per_unit: Decimal = Field(default=Decimal("0.50"), gt=0, le=1_000_000)
    price_currency: Literal["usd"] = "usd"
    price_unit: Literal["hour", "720p", "fixed"] = "hour"
