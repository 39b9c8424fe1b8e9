"""The parts of reports: each figure has a definition."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def means(definition: str, default: Any = ..., **rules: Any) -> Any:
    return Field(default, description=definition, **rules)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
