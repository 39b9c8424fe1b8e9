"""The bearer token of the job port."""

import secrets

from pydantic import SecretStr
from starlette.requests import Request

from ..errors import JobError

REFUSED = {401: "the bearer token is missing or wrong"}


def require_token(request: Request, token: SecretStr | None) -> None:
    """Raises JobError when the request lacks the token, if there is one."""
    if token is None:
        return
    header = request.headers.get("authorization", "").encode("latin-1")
    scheme, _, given = header.partition(b" ")
    known = secrets.compare_digest(given.strip(), token.get_secret_value().encode())
    if scheme.lower() != b"bearer" or not known:
        raise JobError("auth", REFUSED[401], field="Authorization")
