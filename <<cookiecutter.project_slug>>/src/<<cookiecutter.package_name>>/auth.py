"""The bearer token of the job port."""

import secrets

from pydantic import SecretStr
from starlette.requests import Request

from .errors import JobError


def require_token(request: Request, token: SecretStr | None) -> None:
    """Raises JobError when the request lacks the token, if there is one."""
    given = request.headers.get("authorization", "").encode("latin-1")
    if token and not secrets.compare_digest(given, b"Bearer " + token.get_secret_value().encode()):
        raise JobError("auth", "the bearer token is missing or wrong", field="Authorization")
