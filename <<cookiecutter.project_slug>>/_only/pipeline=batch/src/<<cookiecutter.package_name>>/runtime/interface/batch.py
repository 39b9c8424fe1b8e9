"""What a model of jobs sees of the container."""

import json
from collections.abc import Buffer, Generator
from typing import NamedTuple, Protocol

from pydantic import BaseModel

from . import InvalidRequestError as InvalidRequestError
from . import Json as Json
from . import ModelProtocol, validate


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
        return validate(kind.model_validate_json, bytes(self.body), "body")


class Binary(NamedTuple):
    """An answer that is not JSON: `data` is any C-contiguous buffer, numpy arrays included."""

    data: Buffer
    content_type: str = "application/octet-stream"


type Answer = Json | Binary | Generator[Json]


class BatchModel(ModelProtocol, Protocol):
    def predict(self, request: Request) -> Answer: ...
