"""The job port: the routes that orchestrators and live-runner proxies call."""

import asyncio
import re
import uuid
from contextlib import suppress
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from .channels import Channels
from .engine.dispatcher import Dispatcher
from .engine.supervisor import Supervisor
from .errors import JobError
from .live import Live, LiveSession
from .media.choice import choose_encoder
from .ops.health import Health
from .ops.metrics import Metrics
from .orchestrator import Orchestrator
from .parameters import Update
from .requests import LegacyStart, RunnerStart, Start, read
from .reservation import Reservation, StreamReservation, runner_reservation
from .sessions import Sessions
from .settings import Settings
from .trickle import Outage, is_gone, new_client
from .web import new_app, respond

IDENTIFIER = re.compile(r"[\w.:-]{1,128}", re.ASCII)
# Proxies set the first one themselves, and pass on whatever callers say in the second.
STREAM_HEADERS = ("Livepeer-Session-Id", "X-Stream-Id")
END_SECONDS = 8
# Callers through an orchestrator give a start 5 s by default (livepeer_gateway.call_runner).
ROOM_SECONDS = 3
# Any other status is taken for success by the caller of the legacy door (contract §6).
LEGACY_PATH = "/live-video-to-video"
LEGACY_STATUSES = (400, 401, 422)


class Door:
    """Lets sessions in."""

    def __init__(
        self, live: Live, sessions: Sessions, supervisor: Supervisor, settings: Settings
    ) -> None:
        self._live = live
        self._sessions = sessions
        self._supervisor = supervisor
        self._seconds = settings.body_timeout_seconds

    async def start(self, request: Request, kind: type[Start]) -> dict[str, Any]:
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
            return {"session_id": session_id, **answer}
        start = await read(request, kind, self._seconds)
        named = (start.gateway_request_id, start.stream_id, uuid.uuid4().hex)
        session_id = stream_id(request, *named)
        await self._make_room(session_id)
        reservation = StreamReservation(start.channels, tls)
        self._enter(session_id, start.channels, start.params, reservation)
        return {"session_id": session_id}

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
    app = new_app(settings.capability_name, metrics, health, orchestrator, answer)
    authorized = [Depends(orchestrator.authorize)]

    @app.post("/stream/start", dependencies=authorized)
    async def start(request: Request) -> Response:
        """Start a session on the channels in the body; media flows after this answer."""
        return JSONResponse(await door.start(request, Start))

    @app.post("/stream/stop", dependencies=authorized)
    async def stop(request: Request) -> Response:
        """End a session; answers once all of its output has been sent. Can be repeated."""
        name = stream_id(request)
        if session := sessions.get(name):
            session.stop("stopped")
            await ended(session)
        sessions.released(name)
        return JSONResponse({"status": "stopped"})

    @app.post("/stream/params", dependencies=authorized)
    async def params(request: Request) -> Response:
        """Change a session's parameters; an event tells what the model says of them."""
        session = sessions.get(stream_id(request))
        update = await read(request, Update, settings.body_timeout_seconds)
        if session is None:
            raise JobError("bad_request", "no such stream", field="X-Stream-Id", status=404)
        session.update(update.params)
        return JSONResponse({"status": "accepted"})

    @app.get("/stream/status", dependencies=authorized)
    async def status() -> Response:
        """Every session's state, frames and latency."""
        return JSONResponse({"sessions": [session.status() for session in sessions.all()]})

    @app.post(LEGACY_PATH, dependencies=authorized)
    async def legacy(request: Request) -> Response:
        """The same as /stream/start, in the words of the legacy AI worker."""
        return JSONResponse(await door.start(request, LegacyStart))

    return app


def answer(request: Request, error: JobError) -> Response:
    """The legacy door has errors of its own."""
    if request.url.path == LEGACY_PATH and not runner_reservation(request, False):
        status = error.status if error.status in LEGACY_STATUSES else 500
        return JSONResponse({"detail": {"msg": error.message}}, status)
    return respond(request, error)


def stream_id(request: Request, *otherwise: str | None) -> str:
    """Which session the request is about: by its headers, else the first that is given."""
    named = [request.headers.get(name) for name in STREAM_HEADERS]
    found = next((value for value in (*named, *otherwise) if value), "")
    if not IDENTIFIER.fullmatch(found):
        words = "X-Stream-Id: must be 1 to 128 letters, digits, '.', '_', ':' or '-'"
        raise JobError("bad_request", words, field="X-Stream-Id")
    return found


async def ended(session: LiveSession) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await session.ended()
