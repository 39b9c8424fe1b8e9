"""A stream's parameters as callers send them, over HTTP or on the control channel."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, TypeAdapter, model_validator

ANY_JSON = TypeAdapter[Any](Any)


def json_object(value: object) -> object:
    """Callers send an object, the text of one, null or nothing (byoc/stream_orchestrator.go)."""
    if isinstance(value, str):
        try:
            value = ANY_JSON.validate_json(value) if value.strip() else None
        except ValueError:
            raise ValueError("is no JSON") from None
    return {} if value is None else value


def finite(params: dict[str, Any]) -> dict[str, Any]:
    """Events repeat the parameters, and gateways can't read an event with NaN or infinity in it."""
    try:
        json.dumps(params, allow_nan=False)
    except ValueError:
        raise ValueError("has a number that is not finite") from None
    return params


type Params = Annotated[
    dict[str, Any],
    BeforeValidator(json_object, json_schema_input_type=dict[str, Any] | str | None),
    AfterValidator(finite),
]


class ParamsUpdate(BaseModel):
    """Parameters to change: an object of them, or one that has them in its field `params`."""

    params: Params

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, body: Any) -> Any:
        return body if isinstance(body, dict) and "params" in body else {"params": body}
