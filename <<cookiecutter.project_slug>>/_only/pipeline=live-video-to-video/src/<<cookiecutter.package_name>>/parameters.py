"""A session's parameters as callers send them, whichever way they come."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, TypeAdapter, model_validator

ANYTHING = TypeAdapter[Any](Any)


def json_object(value: object) -> object:
    """Callers send an object, the text of one, null or nothing (contract §3.2)."""
    if isinstance(value, str):
        try:
            value = ANYTHING.validate_json(value) if value.strip() else None
        except ValueError:
            raise ValueError("is no JSON") from None
    return {} if value is None else value


def sendable(params: dict[str, Any]) -> dict[str, Any]:
    """Events repeat them, and gateways read no event with a NaN in it."""
    try:
        json.dumps(params, allow_nan=False)
    except ValueError:
        raise ValueError("has a number that is not finite") from None
    return params


type Params = Annotated[
    dict[str, Any],
    BeforeValidator(json_object, json_schema_input_type=dict[str, Any] | str | None),
    AfterValidator(sendable),
]


class Update(BaseModel):
    """What POST /stream/params and the control channel bring: parameters, bare or as `params`."""

    params: Params

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, body: Any) -> Any:
        return body if isinstance(body, dict) and "params" in body else {"params": body}
