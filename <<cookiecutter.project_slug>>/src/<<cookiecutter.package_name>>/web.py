"""What a job port has whatever it serves: health, the bearer token, errors in one form."""

import secrets
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from .errors import JobError
from .ops.health import Health
from .ops.metrics import Metrics
from .settings import Settings


def respond(request: Request, error: JobError) -> Response:
    return Response(error.json(), error.status, error.headers(), "application/json")


def new_app(
    settings: Settings,
    metrics: Metrics,
    health: Health,
    answer: Callable[[Request, JobError], Response] = respond,
) -> FastAPI:
    """An application that counts every error; `answer` gives those of jobs their form."""
    app = FastAPI(title=settings.capability_name, docs_url=None, redoc_url=None)

    @app.get("/health")
    async def get_health() -> Response:
        return health.response()

    @app.exception_handler(JobError)
    async def job_error(request: Request, error: JobError) -> Response:
        metrics.errors.labels(type=error.type).inc()
        return answer(request, error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        metrics.errors.labels(type="bad_request").inc()
        message = f"{request.method} {request.url.path}: {error.detail.lower()}"
        return respond(request, JobError("bad_request", message, status=error.status_code))

    return app


def require_token(settings: Settings) -> Callable[[Request], Awaitable[None]]:
    """A check that raises JobError when the request lacks the token that is set."""
    token = settings.auth_token and b"Bearer " + settings.auth_token.get_secret_value().encode()

    async def authorize(request: Request) -> None:
        given = request.headers.get("authorization", "").encode("latin-1")
        if token and not secrets.compare_digest(given, token):
            raise JobError("auth", "the bearer token is missing or wrong", field="Authorization")

    return authorize
