"""What a model sees of the container."""

import json
from collections.abc import Buffer, Generator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, ValidationError

type Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class InvalidRequestError(Exception):
    """The caller's mistake: raise it from `predict`, the caller gets 422 with these words."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Request(NamedTuple):
    """One job.

    `body` is the request's body as it came: shared memory, read-only, valid until `predict` has
    returned or its generator is exhausted. `content_type` is empty when the caller named none.
    """

    body: memoryview
    content_type: str
    session_id: str
    request_id: str

    def json(self) -> Json:
        """The body as JSON; raises InvalidRequestError when it is none."""
        try:
            value: Json = json.loads(bytes(self.body))
        except ValueError as error:
            raise InvalidRequestError(f"the body is not JSON: {error}", "body") from None
        return value

    def parse[M: BaseModel](self, kind: type[M]) -> M:
        """The body as JSON of this kind; raises InvalidRequestError naming the first bad field."""
        try:
            return kind.model_validate_json(bytes(self.body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"])) or "body"
            words = first["msg"].removeprefix("Value error, ")
            raise InvalidRequestError(f"{field}: {words}", field) from None


class Binary(NamedTuple):
    """An answer that is not JSON: `data` is any C-contiguous buffer, numpy arrays included."""

    data: Buffer
    content_type: str = "application/octet-stream"


type Answer = Json | Binary | Generator[Json]


class ModelProtocol(Protocol):
    """`MAX_PARALLEL` is how many threads may call `predict` at once; 1 unless the model says so."""

    MAX_PARALLEL: int

    def load(self, weights: Path) -> None: ...

    def predict(self, request: Request) -> Answer: ...

    def close(self) -> None: ...
