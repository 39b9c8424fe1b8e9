"""The job port: the routes an orchestrator calls."""

import re
import uuid

from fastapi import FastAPI, Request, Response

from .batch import Batch, BatchResponse
from .engine.dispatcher import Dispatcher
from .engine.supervisor import Supervisor
from .ops.health import Health
from .ops.metrics import Metrics
from .orchestrator import Orchestrator
from .sessions import Sessions
from .settings import Settings
from .web import new_app

IDENTIFIER = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def create_app(
    settings: Settings,
    sessions: Sessions,
    supervisor: Supervisor,
    dispatcher: Dispatcher,
    metrics: Metrics,
    health: Health,
    orchestrator: Orchestrator,
) -> FastAPI:
    """Jobs at `/`, `/run` and `/<capability>`: orchestrators append what their caller asked for."""
    batch = Batch(settings, sessions, supervisor, dispatcher, metrics, orchestrator)
    app = new_app(settings.capability_name, metrics, health, orchestrator)

    async def run(request: Request) -> Response:
        """Run the model on the body: JSON or raw bytes in, JSON, raw bytes or events out."""
        await orchestrator.authorize(request)
        return BatchResponse(
            batch,
            request.headers,
            identifier(request, "Livepeer-Session-Id"),
            identifier(request, "X-Request-Id"),
        )

    for path in ("/", "/run", f"/{settings.capability_name}"):
        app.post(path, response_class=Response)(run)

    return app


def identifier(request: Request, header: str) -> str:
    """The caller's own identifier when it is fit for logs and headers, else a new one."""
    value = request.headers.get(header, "")
    return value if IDENTIFIER.fullmatch(value) else uuid.uuid4().hex
