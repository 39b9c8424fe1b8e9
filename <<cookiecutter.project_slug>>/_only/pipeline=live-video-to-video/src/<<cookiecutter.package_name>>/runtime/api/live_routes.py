"""The job port of live video: the routes that orchestrators and live-runner proxies call."""

from collections.abc import Sequence
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from ..errors import JobError
from ..http.protocol import respond
from ..livepeer.reservation import is_proxied
from ..livepeer.stream_params import ParamsUpdate
from ..livepeer.tls import TlsSettings
from ..media.codec import VideoEncoder, choose_encoder
from ..media.metrics import LossMetrics
from ..media.pipeline import MediaContext
from ..media.settings import MediaSettings
from ..metrics import FrameMetrics
from ..sessions.live import LiveContext
from ..sessions.live_admission import LiveAdmission
from ..settings import ContainerSettings
from ..worker.frame_dispatcher import FrameDispatcher
from ..worker.supervisor import Supervisor
from .app import new_app
from .openapi import answers, callers, headers, json
from .schemas import (
    Accepted,
    AllStatus,
    LegacyFailed,
    LegacyMessage,
    LegacyStart,
    RunnerStart,
    SessionStatus,
    Start,
    Started,
    Stopped,
)
from .service import Service, ServiceContext
from .session_starter import END_SECONDS, SessionStarter
from .stream_request import HEADERS, MAX_REQUEST_BYTES, read_json, read_stream_id

# The legacy AI worker's route, whose callers take any other status for success
# (ai/worker/worker.go).
LEGACY_PATH = "/live-video-to-video"
LEGACY_STATUSES = (400, 401, 422)

# What may go wrong, besides the errors of every route.
STREAM = {422: "`field` and `message` say what to fix"}
BODY = {
    408: "the body did not arrive within BYOC_BODY_TIMEOUT_SECONDS",
    413: f"the body is larger than {MAX_REQUEST_BYTES} bytes",
}
START = {
    409: "a stream of this name is running",
    502: "the orchestrator did not make the channels",
    503: "no room, or the model is not ready: try again",
}
UNKNOWN = {404: "no such stream"}


class LiveService(Service):
    """Runs the model on live video."""

    admission: LiveAdmission
    dispatcher: FrameDispatcher

    def __init__(self, context: ServiceContext, encoders: Sequence[VideoEncoder]) -> None:
        """Raises SettingsError when the video encoder does not work."""
        settings, metrics = context.settings, context.metrics
        capacity = settings[ContainerSettings].capacity
        self._context = context
        self.admission = LiveAdmission(capacity, metrics, context.registrar.follow)
        self.dispatcher = FrameDispatcher(settings, metrics)
        media = MediaContext(
            settings=settings,
            metrics=metrics,
            frames=FrameMetrics(
                metrics.registry,
                latency="Milliseconds from the decoding of a frame to its encoding.",
                frames_in="Frames decoded.",
                frames_out="Frames encoded.",
            ),
            losses=LossMetrics(metrics.registry),
            dispatcher=self.dispatcher,
            encoder=choose_encoder(settings[MediaSettings].video_encoder, encoders),
        )
        self._live = LiveContext(media, settings[TlsSettings].tls)

    def create_app(self, supervisor: Supervisor[Any]) -> FastAPI:
        admission = self.admission
        starter = SessionStarter(self._live, admission, supervisor)
        body_seconds = self._context.settings[ContainerSettings].body_timeout_seconds
        requests = (Start, LegacyStart, RunnerStart, ParamsUpdate)
        replies = (Started, Stopped, Accepted, AllStatus, LegacyFailed)
        app = new_app(self._context, *requests, *replies, answer=answer)
        registrar = self._context.registrar
        authorized = [Depends(registrar.authorize)]
        security = callers(registrar.token)
        named = {"parameters": headers(HEADERS), "security": security}

        @app.post(
            "/stream/start",
            dependencies=authorized,
            response_class=Response,
            responses=answers(json("Started"), registrar.refusals, STREAM, BODY, START),
            openapi_extra=named | {"requestBody": json("Start", "RunnerStart")},
        )
        async def start(request: Request) -> Response:
            """Start a session on the channels in the body; media flows after this answer."""
            return reply(await starter.start(request, Start))

        @app.post(
            "/stream/stop",
            dependencies=authorized,
            response_class=Response,
            responses=answers(json("Stopped"), registrar.refusals, STREAM),
            openapi_extra=named,
        )
        async def stop(request: Request) -> Response:
            """End a session; answers once all of its output has been sent. Can be repeated."""
            session_id = read_stream_id(request)
            if session := admission.get(session_id):
                session.stop("stopped")
                await session.ended(END_SECONDS)
            admission.released(session_id)
            return reply(Stopped())

        @app.post(
            "/stream/params",
            dependencies=authorized,
            response_class=Response,
            responses=answers(json("Accepted"), registrar.refusals, STREAM, BODY, UNKNOWN),
            openapi_extra=named | {"requestBody": json("ParamsUpdate", "Params")},
        )
        async def params(request: Request) -> Response:
            """Change a session's parameters; an event says what the model makes of them."""
            session_id = read_stream_id(request)
            session = admission.get(session_id)
            update = await read_json(request, ParamsUpdate, body_seconds)
            if session is None:
                words = f"there is no stream {session_id}"
                raise JobError("bad_request", words, field="X-Stream-Id", status=404)
            session.update_params(update.params)
            return reply(Accepted())

        @app.get(
            "/stream/status",
            dependencies=authorized,
            response_class=Response,
            responses=answers(json("AllStatus"), registrar.refusals),
            openapi_extra={"security": security},
        )
        async def status() -> Response:
            """Every session's state, frames and latency."""
            reports = [SessionStatus(**session.status()) for session in admission.all()]
            return reply(AllStatus(sessions=reports))

        @app.post(
            LEGACY_PATH,
            dependencies=authorized,
            response_class=Response,
            responses=answers(
                json("Started"),
                registrar.refusals,
                STREAM,
                BODY,
                START,
                forms=("Failed", "LegacyFailed"),
            ),
            openapi_extra=named | {"requestBody": json("LegacyStart", "RunnerStart")},
        )
        async def legacy(request: Request) -> Response:
            """The same as /stream/start, in the form of the legacy AI worker."""
            return reply(await starter.start(request, LegacyStart))

        return app


def answer(request: Request, error: JobError) -> Response:
    """An error in its usual form, or in the one of the legacy AI worker's route."""
    if request.scope["path"] == LEGACY_PATH and not is_proxied(request):
        status = error.status if error.status in LEGACY_STATUSES else 500
        return reply(LegacyFailed(detail=LegacyMessage(msg=error.message)), status, error.headers())
    return respond(error)


def reply(form: BaseModel, status: int = 200, fields: dict[str, str] | None = None) -> Response:
    content = form.model_dump_json(exclude_none=True)
    return Response(content, status, fields, "application/json")
