"""The addresses of a session's channels, as byoc/stream_orchestrator.go names them."""

from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field


def http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an absolute http or https address")
    return url


type Url = Annotated[
    str,
    Field(max_length=2048, json_schema_extra={"format": "uri", "pattern": "^https?://"}),
    AfterValidator(http_url),
]


class Channels(NamedTuple):
    """All of them are secrets; those that the caller did not name are None."""

    subscribe_url: str
    publish_url: str | None
    control_url: str | None
    events_url: str | None
    data_url: str | None
