"""The job port: the routes that orchestrators and live-runner proxies call."""

import asyncio
import re
import uuid
from contextlib import suppress
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from .channels import Channels
from .document import answers, callers, headers, json
from .engine.dispatcher import Dispatcher
from .engine.supervisor import Supervisor
from .errors import JobError
from .live import Live, LiveSession
from .media.choice import choose_encoder
from .ops.health import Health
from .ops.metrics import Metrics
from .orchestrator import Orchestrator
from .parameters import Update
from .refusals import respond
from .replies import (
    Accepted,
    AllStatus,
    LegacyFailed,
    LegacyMessage,
    SessionStatus,
    Started,
    Stopped,
)
from .requests import MAX_REQUEST_BYTES, LegacyStart, RunnerStart, Start, read
from .reservation import Reservation, StreamReservation, runner_reservation
from .sessions import Sessions
from .settings import Settings
from .trickle import Outage, is_gone, new_client
from .web import new_app

IDENTIFIER = re.compile(r"[\w.:-]{1,128}", re.ASCII)
# Proxies set the first one themselves, and pass on whatever callers say in the second.
STREAM_HEADERS = ("Livepeer-Session-Id", "X-Stream-Id")
HEADERS = {
    "Livepeer-Session-Id": "the session's name: set by live-runner proxies",
    "Livepeer-Session-Token": "a secret: set by live-runner proxies",
    "Livepeer-Session-Control": "where to call back: set by live-runner proxies",
    "X-Stream-Id": "the stream's name where there is no such proxy: 1 to 128 letters, digits, "
    "'.', '_', ':' or '-'",
}
END_SECONDS = 8
# Callers through an orchestrator give a start 5 s by default (livepeer_gateway.call_runner).
ROOM_SECONDS = 3
# Any other status is taken for success by the caller of the legacy door (contract §6).
LEGACY_PATH = "/live-video-to-video"
LEGACY_STATUSES = (400, 401, 422)

# What may go wrong, beside what may anywhere.
STREAM = {422: "`field` and `message` say what to mend"}
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


class Door:
    """Lets sessions in."""

    def __init__(
        self, live: Live, sessions: Sessions, supervisor: Supervisor, settings: Settings
    ) -> None:
        self._live = live
        self._sessions = sessions
        self._supervisor = supervisor
        self._seconds = settings.body_timeout_seconds

    async def start(self, request: Request, kind: type[Start]) -> Started:
        """From a BYOC orchestrator, or from a live-runner proxy."""
        self._supervisor.require_ready()
        tls = self._live.tls
        runner = runner_reservation(request, tls)
        if runner:
            body = await read(request, RunnerStart, self._seconds)
            session_id = stream_id(request)
            await self._make_room(session_id)
            channels, answer = await runner.create_channels()
            self._enter(session_id, channels, body.params, runner)
            return Started(session_id=session_id, **answer)
        start = await read(request, kind, self._seconds)
        named = (start.gateway_request_id, start.stream_id, uuid.uuid4().hex)
        session_id = stream_id(request, *named)
        await self._make_room(session_id)
        reservation = StreamReservation(start.channels, tls)
        self._enter(session_id, start.channels, start.params, reservation)
        return Started(session_id=session_id)

    def _enter(
        self, session_id: str, channels: Channels, params: dict[str, Any], held: Reservation
    ) -> None:
        self._sessions.enter(LiveSession(self._live, session_id, channels, params, held))

    async def _make_room(self, session_id: str) -> None:
        """Await the end of a session of this name, or end it when its channels are gone.

        Raises JobError when they are not, or when nobody more is admitted.
        """
        if stale := self._sessions.get(session_id):
            if not stale.stopping:
                async with new_client(self._live.tls) as http:
                    gone = await is_gone(http, stale.channels.subscribe_url, Outage())
                if not gone:
                    words = f"stream {session_id} is running already: stop it first"
                    raise JobError("bad_request", words, field="X-Stream-Id", status=409)
                stale.cut()
            await ended(stale)
        await self._sessions.wait_for_room(ROOM_SECONDS)


def create_app(
    settings: Settings,
    sessions: Sessions,
    supervisor: Supervisor,
    dispatcher: Dispatcher,
    metrics: Metrics,
    health: Health,
    orchestrator: Orchestrator,
) -> FastAPI:
    """Raises SettingsError when the video encoder does not work."""
    encoder = choose_encoder(settings.video_encoder)
    live = Live(settings, dispatcher, metrics, encoder, settings.tls)
    door = Door(live, sessions, supervisor, settings)
    requests = (Start, LegacyStart, RunnerStart, Update)
    replies = (Started, Stopped, Accepted, AllStatus, LegacyFailed)
    title = settings.capability_name
    app = new_app(title, metrics, health, orchestrator, *requests, *replies, answer=answer)
    authorized = [Depends(orchestrator.authorize)]
    refusals = orchestrator.refusals
    security = callers(orchestrator.token)
    names = {"parameters": headers(HEADERS), "security": security}

    @app.post(
        "/stream/start",
        dependencies=authorized,
        response_class=Response,
        responses=answers(json("Started"), refusals, STREAM, BODY, START),
        openapi_extra=names | {"requestBody": json("Start", "RunnerStart")},
    )
    async def start(request: Request) -> Response:
        """Start a session on the channels in the body; media flows after this answer."""
        return reply(await door.start(request, Start))

    @app.post(
        "/stream/stop",
        dependencies=authorized,
        response_class=Response,
        responses=answers(json("Stopped"), refusals, STREAM),
        openapi_extra=names,
    )
    async def stop(request: Request) -> Response:
        """End a session; answers once all of its output has been sent. Can be repeated."""
        name = stream_id(request)
        if session := sessions.get(name):
            session.stop("stopped")
            await ended(session)
        sessions.released(name)
        return reply(Stopped())

    @app.post(
        "/stream/params",
        dependencies=authorized,
        response_class=Response,
        responses=answers(json("Accepted"), refusals, STREAM, BODY, UNKNOWN),
        openapi_extra=names | {"requestBody": json("Update", "Params")},
    )
    async def params(request: Request) -> Response:
        """Change a session's parameters; an event tells what the model says of them."""
        name = stream_id(request)
        session = sessions.get(name)
        update = await read(request, Update, settings.body_timeout_seconds)
        if session is None:
            words = f"there is no stream {name}"
            raise JobError("bad_request", words, field="X-Stream-Id", status=404)
        session.update(update.params)
        return reply(Accepted())

    @app.get(
        "/stream/status",
        dependencies=authorized,
        response_class=Response,
        responses=answers(json("AllStatus"), refusals),
        openapi_extra={"security": security},
    )
    async def status() -> Response:
        """Every session's state, frames and latency."""
        reports = [SessionStatus(**session.status()) for session in sessions.all()]
        return reply(AllStatus(sessions=reports))

    @app.post(
        LEGACY_PATH,
        dependencies=authorized,
        response_class=Response,
        responses=answers(
            json("Started"), refusals, STREAM, BODY, START, forms=("Failed", "LegacyFailed")
        ),
        openapi_extra=names | {"requestBody": json("LegacyStart", "RunnerStart")},
    )
    async def legacy(request: Request) -> Response:
        """The same as /stream/start, in the words of the legacy AI worker."""
        return reply(await door.start(request, LegacyStart))

    return app


def answer(request: Request, error: JobError) -> Response:
    """The legacy door has errors of its own."""
    if request.scope["path"] == LEGACY_PATH and not runner_reservation(request, False):
        status = error.status if error.status in LEGACY_STATUSES else 500
        return reply(LegacyFailed(detail=LegacyMessage(msg=error.message)), status, error.headers())
    return respond(error)


def reply(form: BaseModel, status: int = 200, fields: dict[str, str] | None = None) -> Response:
    content = form.model_dump_json(exclude_none=True)
    return Response(content, status, fields, "application/json")


def stream_id(request: Request, *otherwise: str | None) -> str:
    """Which session the request is about: by its headers, else the first that is given."""
    named = [request.headers.get(name) for name in STREAM_HEADERS]
    found = next((value for value in (*named, *otherwise) if value), "")
    if not found:
        words = "X-Stream-Id: is missing, and nothing else names the stream"
        raise JobError("bad_request", words, field="X-Stream-Id")
    if not IDENTIFIER.fullmatch(found):
        words = "X-Stream-Id: must be 1 to 128 letters, digits, '.', '_', ':' or '-'"
        raise JobError("bad_request", words, field="X-Stream-Id")
    return found


async def ended(session: LiveSession) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await session.ended()
