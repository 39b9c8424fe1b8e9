"""Settings of a live runner, checked by the rules of go-livepeer (ai/runner/live_runner.go)."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ..settings import SettingsGroup
from .settings import OrchestratorSettings
from .tls import TlsSettings


def pipeline_and_model(app: str) -> str:
    if not re.fullmatch(r"[^\s/]+(/[^\s/]+)+", app):
        raise ValueError("must be of the form pipeline/model")
    return app


type App = Annotated[str, AfterValidator(pipeline_and_model)]


class LiveRunnerSettings(SettingsGroup):
    """The live runner."""

    app: App = Field(description="The app that callers look for, of the form pipeline/model.")
    price_per_unit: Decimal = Field(
        default=Decimal("0.50"),
        gt=0,
        le=1_000_000,
        description="The price of a unit in US dollars: a placeholder until you set your own."
        " Off-chain orchestrators ignore it.",
    )
    price_currency: Literal["usd"] = Field(
        default="usd", description="usd, because orchestrators accept nothing else."
    )
    price_unit: Literal["hour", "720p", "fixed"] = Field(
        default="hour",
        description="What the price is for: hour, 720p (an hour of it) or fixed (a session).",
    )


REGISTRATION_SETTINGS = (TlsSettings, OrchestratorSettings, LiveRunnerSettings)
