"""What a job port has whatever it serves: health, and errors in one form."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from .errors import JobError
from .ops.health import Health
from .ops.metrics import Metrics
from .orchestrator import Orchestrator


def respond(request: Request, error: JobError) -> Response:
    return Response(error.json(), error.status, error.headers(), "application/json")


def new_app(
    title: str,
    metrics: Metrics,
    health: Health,
    orchestrator: Orchestrator,
    answer: Callable[[Request, JobError], Response] = respond,
) -> FastAPI:
    """An application that counts every error; `answer` gives those of jobs their form."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None)

    @app.get("/health")
    async def get_health() -> Response:
        return health.response()

    @app.exception_handler(JobError)
    async def job_error(request: Request, error: JobError) -> Response:
        metrics.errors.labels(type=error.type).inc()
        if error.type == "cancelled":
            orchestrator.refresh()
        return answer(request, error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        metrics.errors.labels(type="bad_request").inc()
        message = f"{request.method} {request.url.path}: {error.detail.lower()}"
        return respond(request, JobError("bad_request", message, status=error.status_code))

    return app
