"""Describes the routes for /openapi.json: what they take and answer, and who may call.

Forms are only named until the document is asked for, because once FastAPI sees a model it imports
the first version of pydantic, too, which would make every start longer.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from ..errors import RETRY_AFTER_SECONDS, ErrorType
from ..health import Status
from ..http.protocol import MAX_HEAD_BYTES

REFERENCE = "#/components/schemas/{model}"
BEARER = {"type": "http", "scheme": "bearer"}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"headers": {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}},
    503: {"headers": {"Retry-After": {"required": True, "schema": {"const": RETRY_AFTER_SECONDS}}}},
}
# Of every route.
ERRORS = {
    400: "the request is not valid HTTP",
    431: f"the head of the request is larger than {MAX_HEAD_BYTES} bytes",
    500: "the container or the model failed: its log says how",
}

type Described = dict[int | str, dict[str, Any]]


class Failure(BaseModel):
    """`field` names the input at fault; `message` can be read alone."""

    type: ErrorType
    field: str | None
    message: str


class Failed(BaseModel):
    error: Failure


class Standing(BaseModel):
    status: Status


class Document(FastAPI):
    """An application whose routes read and write bodies themselves, bounded in size and in time.

    `forms` are the models that routes refer to by their names.
    """

    forms: tuple[type[BaseModel], ...]

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            from pydantic.json_schema import models_json_schema

            _, described = models_json_schema(
                [(form, "validation") for form in self.forms], ref_template=REFERENCE
            )
            super().openapi()["components"] = {
                "schemas": described["$defs"],
                "securitySchemes": {"bearer": BEARER},
            }
        return super().openapi()


def json(*forms: str) -> dict[str, Any]:
    """JSON in one of these forms."""
    schemas = [{"$ref": REFERENCE.format(model=form)} for form in forms]
    schema = {"anyOf": schemas} if schemas[1:] else schemas[0]
    return {"content": {"application/json": {"schema": schema}}}


def answers(
    success: dict[str, Any], *errors: dict[int, str], forms: tuple[str, ...] = ("Failed",)
) -> Described:
    """What a route answers: its success and, besides the errors of every route, its own."""
    described = {status: words for each in (ERRORS, *errors) for status, words in each.items()}
    failures: Described = {
        status: {"description": words, **json(*forms), **HEADERS.get(status, {})}
        for status, words in sorted(described.items())
    }
    return {200: {"description": "done", **success}, **failures}


def headers(described: dict[str, str]) -> list[dict[str, Any]]:
    """What a request may carry."""
    return [
        {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}
        for name, words in described.items()
    ]


def callers(token: object) -> list[dict[str, list[str]]]:
    """Those with the bearer token; anybody where there is none."""
    return [{"bearer": []}, *([] if token else [{}])]
