"""The job port: the routes an orchestrator calls."""

import re
import secrets
import uuid

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from .batch import Batch, BatchResponse
from .engine.dispatcher import Dispatcher
from .engine.supervisor import Supervisor
from .errors import JobError
from .ops.health import Health
from .ops.metrics import Metrics
from .sessions import Sessions
from .settings import Settings

IDENTIFIER = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def create_app(
    settings: Settings,
    sessions: Sessions,
    supervisor: Supervisor,
    dispatcher: Dispatcher,
    metrics: Metrics,
    health: Health,
) -> FastAPI:
    """Jobs at `/`, `/run` and `/<capability>`: orchestrators append what their caller asked for."""
    batch = Batch(settings, sessions, supervisor, dispatcher, metrics)
    token = settings.auth_token and b"Bearer " + settings.auth_token.get_secret_value().encode()
    app = FastAPI(title=settings.capability_name, docs_url=None, redoc_url=None)

    @app.get("/health")
    async def get_health() -> Response:
        return health.response()

    async def run(request: Request) -> Response:
        """Run the model on the body: JSON or raw bytes in, JSON, raw bytes or events out."""
        if token and not secrets.compare_digest(authorization(request), token):
            raise JobError("auth", "the bearer token is missing or wrong", field="Authorization")
        return BatchResponse(
            batch,
            request.headers,
            identifier(request, "Livepeer-Session-Id"),
            identifier(request, "X-Request-Id"),
        )

    for path in ("/", "/run", f"/{settings.capability_name}"):
        app.post(path, response_class=Response)(run)

    @app.exception_handler(JobError)
    async def job_error(request: Request, error: JobError) -> Response:
        metrics.errors.labels(type=error.type).inc()
        return respond(error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        metrics.errors.labels(type="bad_request").inc()
        message = f"{request.method} {request.url.path}: {error.detail.lower()}"
        return respond(JobError("bad_request", message, status=error.status_code))

    return app


def respond(error: JobError) -> Response:
    return Response(error.json(), error.status, error.headers(), "application/json")


def authorization(request: Request) -> bytes:
    return request.headers.get("authorization", "").encode("latin-1")


def identifier(request: Request, header: str) -> str:
    """The caller's own identifier when it is fit for logs and headers, else a new one."""
    value = request.headers.get(header, "")
    return value if IDENTIFIER.fullmatch(value) else uuid.uuid4().hex
