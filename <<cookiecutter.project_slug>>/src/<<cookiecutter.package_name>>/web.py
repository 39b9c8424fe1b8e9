"""What a job port has whatever it serves: health, errors in one form, and a document of it all."""

from collections.abc import Callable
from importlib.metadata import version

from fastapi import Request, Response
from pydantic import BaseModel

from .document import Document, Failed, Standing, answers, json
from .errors import JobError
from .ops.health import Health
from .ops.metrics import DISTRIBUTION, Metrics
from .orchestrator import Orchestrator
from .refusals import exception_handlers, respond


def new_app(
    title: str,
    metrics: Metrics,
    health: Health,
    orchestrator: Orchestrator,
    *forms: type[BaseModel],
    answer: Callable[[Request, JobError], Response] = lambda _, error: respond(error),
) -> Document:
    """An application that counts every error; `answer` gives those of jobs their form."""
    app = Document(
        title=title,
        description="What goes over these routes: docs/api.md in the container's repository.",
        version=version(DISTRIBUTION),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=exception_handlers(metrics),
    )
    app.forms = (Failed, Standing, *forms)
    unwell = {"description": "jobs are not served: `status` says why", **json("Standing")}

    @app.get(
        "/health", response_class=Response, responses={**answers(json("Standing")), 503: unwell}
    )
    async def get_health() -> Response:
        """Whether jobs are served."""
        return health.response()

    @app.exception_handler(JobError)
    async def job_error(request: Request, error: JobError) -> Response:
        metrics.errors.labels(type=error.type).inc()
        if error.type == "cancelled":
            orchestrator.refresh()
        return answer(request, error)

    return app
