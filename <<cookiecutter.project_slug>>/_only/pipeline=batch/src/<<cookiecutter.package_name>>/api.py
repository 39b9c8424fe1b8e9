"""The job port: the routes an orchestrator calls."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from .batch import Batch, BatchResponse
from .document import answers, callers, headers
from .engine.dispatcher import Dispatcher
from .engine.supervisor import Supervisor
from .ops.health import Health
from .ops.metrics import Metrics
from .orchestrator import Orchestrator
from .sessions import Sessions
from .settings import Settings
from .web import new_app

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
# What is in them is the model's affair.
BODY: dict[str, Any] = {
    "application/json": {"schema": {}},
    "*/*": {"schema": {"type": "string", "format": "binary"}},
}
EVENTS = {
    "text/event-stream": {"schema": {"type": "string", "description": "the last event is [DONE]"}}
}


class Shortcut:
    """In front of the application: to reach `run` through it takes a fifth of a job's time."""

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


def create_app(
    settings: Settings,
    sessions: Sessions,
    supervisor: Supervisor,
    dispatcher: Dispatcher,
    metrics: Metrics,
    health: Health,
    orchestrator: Orchestrator,
) -> ASGIApp:
    """Jobs at `/`, `/run` and `/<capability>`: orchestrators append what their caller asked for."""
    batch = Batch(settings, sessions, supervisor, dispatcher, metrics, orchestrator)
    app = new_app(settings.capability_name, metrics, health, orchestrator)

    def run(request: Request) -> BatchResponse:
        """Run the model on the body: JSON or raw bytes in, JSON, raw bytes or events out."""
        return BatchResponse(batch, request)

    answer = {"description": "what the model returned", "content": BODY | EVENTS}
    for path in ("/", "/run", f"/{settings.capability_name}"):
        app.post(
            path,
            response_class=Response,
            responses=answers(answer, orchestrator.refusals, ERRORS),
            openapi_extra={
                "parameters": headers(HEADERS),
                "requestBody": {"content": BODY},
                "security": callers(orchestrator.token),
            },
        )(run)
    return Shortcut(app, run)
