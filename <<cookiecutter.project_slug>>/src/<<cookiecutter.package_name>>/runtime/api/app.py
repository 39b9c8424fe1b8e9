"""What every job port has: /health, errors in one form, and an OpenAPI document."""

from collections.abc import Callable
from importlib.metadata import version

from fastapi import Request, Response
from pydantic import BaseModel

from ..errors import JobError
from ..http.protocol import exception_handlers, respond
from ..settings import ContainerSettings
from .openapi import Document, Failed, Standing, answers, json
from .service import ServiceContext


def new_app(
    context: ServiceContext,
    *forms: type[BaseModel],
    answer: Callable[[Request, JobError], Response] = lambda _, error: respond(error),
) -> Document:
    """An application that counts every error; `answer` gives those of jobs their form."""
    app = Document(
        title=context.settings[ContainerSettings].capability_name,
        description="What goes over these routes: docs/api.md in the container's repository.",
        version=version(context.distribution),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=exception_handlers(context.metrics),
    )
    app.forms = (Failed, Standing, *forms)
    unwell = {"description": "jobs are not served: `status` says why", **json("Standing")}

    @app.get(
        "/health", response_class=Response, responses={**answers(json("Standing")), 503: unwell}
    )
    async def get_health() -> Response:
        """Whether jobs are served."""
        return context.health.response()

    @app.exception_handler(JobError)
    async def job_error(request: Request, error: JobError) -> Response:
        context.metrics.count_error(error.type)
        if error.type == "cancelled":
            context.registrar.refresh()
        return answer(request, error)

    return app
