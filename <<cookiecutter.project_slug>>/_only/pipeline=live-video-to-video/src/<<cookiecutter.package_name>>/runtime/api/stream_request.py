"""Reads a request about a stream: which stream it is about, and its JSON body."""

from pydantic import BaseModel
from starlette.requests import Request

from ..errors import JobError
from ..http.body import read_body
from ..interface import InvalidRequestError, validate
from ..sessions.admission import IDENTIFIER

MAX_REQUEST_BYTES = 1_048_576
# Proxies set the first one themselves, and pass on whatever callers say in the second.
STREAM_HEADERS = ("Livepeer-Session-Id", "X-Stream-Id")
HEADERS = {
    "Livepeer-Session-Id": "the session's name: set by live-runner proxies",
    "Livepeer-Session-Token": "a secret: set by live-runner proxies",
    "Livepeer-Session-Control": "where to call back: set by live-runner proxies",
    "X-Stream-Id": "the stream's name where there is no such proxy: 1 to 128 letters, digits, "
    "'.', '_', ':' or '-'",
}


def read_stream_id(request: Request, *alternatives: str | None) -> str:
    """The stream's id from the headers, else the first of the alternatives that is given.

    Raises JobError when there is none, or when it is not a valid one.
    """
    named = [request.headers.get(name) for name in STREAM_HEADERS]
    found = next((value for value in (*named, *alternatives) if value), "")
    if not found:
        words = "X-Stream-Id: is missing, and nothing else names the stream"
        raise JobError("bad_request", words, field="X-Stream-Id")
    if not IDENTIFIER.fullmatch(found):
        words = "X-Stream-Id: must be 1 to 128 letters, digits, '.', '_', ':' or '-'"
        raise JobError("bad_request", words, field="X-Stream-Id")
    return found


async def read_json[M: BaseModel](request: Request, form: type[M], seconds: float) -> M:
    """The body in this form; raises JobError that names the first bad field."""
    body = await read_body(request.receive, request.headers, MAX_REQUEST_BYTES, seconds)
    try:
        return validate(form.model_validate_json, body or b"{}", "body")
    except InvalidRequestError as error:
        raise JobError("bad_request", error.message, field=error.field) from None
