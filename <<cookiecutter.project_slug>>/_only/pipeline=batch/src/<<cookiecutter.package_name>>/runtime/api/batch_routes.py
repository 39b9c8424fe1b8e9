"""Jobs: the routes that an orchestrator calls for them."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ..metrics import FrameMetrics
from ..sessions.batch import BatchContext, BatchResponse
from ..sessions.batch_admission import BatchAdmission
from ..settings import ContainerSettings
from ..worker.job_dispatcher import JobDispatcher
from ..worker.job_settings import JobSettings
from ..worker.supervisor import Supervisor
from .app import new_app
from .openapi import answers, callers, headers
from .service import Service, ServiceContext

ERRORS = {
    408: "the body did not arrive within BYOC_BODY_TIMEOUT_SECONDS",
    413: "the body is larger than BYOC_MAX_BODY_BYTES",
    422: "the model does not take this: `field` and `message` say why",
    503: "no room, or the model has crashed or is loading: try again",
    504: "the model took longer than BYOC_JOB_TIMEOUT_SECONDS",
}
HEADERS = {
    "Livepeer-Session-Id": "names the session in logs and in the answer",
    "X-Request-Id": "names the request there",
}
# Only the model knows what bodies and answers contain.
BODY: dict[str, Any] = {
    "application/json": {"schema": {}},
    "*/*": {"schema": {"type": "string", "format": "binary"}},
}
EVENTS = {
    "text/event-stream": {"schema": {"type": "string", "description": "the last event is [DONE]"}}
}


class Shortcut:
    """Calls `run` directly, because FastAPI's layers take a fifth of a small job's time."""

    def __init__(self, app: FastAPI, run: Any) -> None:
        routes = [route for route in app.routes if isinstance(route, APIRoute)]
        self._paths = {route.path for route in routes if route.endpoint == run}
        self._app = app
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and scope["path"] in self._paths:
            await self._run(Request(scope))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class BatchService(Service):
    admission: BatchAdmission
    dispatcher: JobDispatcher

    def __init__(self, context: ServiceContext) -> None:
        metrics = context.metrics
        self._context = context
        self._container = context.settings[ContainerSettings]
        self._frames = FrameMetrics(
            metrics.registry,
            latency="Milliseconds from a request's admission to the end of its answer.",
            frames_in="Requests handed to the model.",
            frames_out="Requests answered by the model.",
        )
        self.dispatcher = JobDispatcher(context.settings, metrics)
        self.admission = BatchAdmission(
            self._container.capacity, metrics, self._frames, context.registrar.follow
        )

    def create_app(self, supervisor: Supervisor[Any]) -> ASGIApp:
        """Jobs at `/`, `/run` and `/<capability>`: orchestrators append the path that their caller
        asked for.
        """
        registrar = self._context.registrar
        context = BatchContext(
            container=self._container,
            jobs=self._context.settings[JobSettings],
            metrics=self._context.metrics,
            frames=self._frames,
            admission=self.admission,
            supervisor=supervisor,
            dispatcher=self.dispatcher,
            registrar=registrar,
        )
        app = new_app(self._context)

        def run(request: Request) -> BatchResponse:
            """Run the model on the body: JSON or raw bytes in, JSON, raw bytes or events out."""
            return BatchResponse(context, request)

        answer = {"description": "what the model returned", "content": BODY | EVENTS}
        for path in ("/", "/run", f"/{self._container.capability_name}"):
            app.post(
                path,
                response_class=Response,
                responses=answers(answer, registrar.refusals, ERRORS),
                openapi_extra={
                    "parameters": headers(HEADERS),
                    "requestBody": {"content": BODY},
                    "security": callers(registrar.token),
                },
            )(run)
        return Shortcut(app, run)
