"""Starts the session that a request asks for, once there is room for it."""

import uuid
from typing import Any

from starlette.requests import Request

from ..errors import JobError
from ..livepeer.channels import Channels
from ..livepeer.reservation import (
    Reservation,
    RunnerReservation,
    StreamReservation,
    runner_reservation,
)
from ..livepeer.trickle import Outage, is_gone, new_client
from ..sessions.live import LiveContext, LiveSession
from ..sessions.live_admission import LiveAdmission
from ..settings import ContainerSettings
from ..worker.supervisor import Supervisor
from .schemas import RunnerStart, Start, Started
from .stream_request import read_json, read_stream_id

# How long a request waits for a session to end.
END_SECONDS = 8
# Callers through an orchestrator give a start 5 s by default (livepeer_gateway.call_runner).
ROOM_SECONDS = 3


class SessionStarter:
    def __init__(
        self, context: LiveContext, admission: LiveAdmission, supervisor: Supervisor[Any]
    ) -> None:
        self._context = context
        self._admission = admission
        self._supervisor = supervisor
        self._body_seconds = context.media.settings[ContainerSettings].body_timeout_seconds

    async def start(self, request: Request, form: type[Start]) -> Started:
        """For a BYOC orchestrator, whose request has this form, or for a live-runner proxy.

        Raises JobError.
        """
        self._supervisor.require_ready()
        if reservation := runner_reservation(request, self._context.tls):
            return await self._start_for_runner(request, reservation)
        start = await read_json(request, form, self._body_seconds)
        alternatives = (start.gateway_request_id, start.stream_id, uuid.uuid4().hex)
        session_id = read_stream_id(request, *alternatives)
        await self._make_room(session_id)
        channels = start.channels
        self._enter(
            session_id, channels, start.params, StreamReservation(channels, self._context.tls)
        )
        return Started(session_id=session_id)

    async def _start_for_runner(self, request: Request, reservation: RunnerReservation) -> Started:
        start = await read_json(request, RunnerStart, self._body_seconds)
        session_id = read_stream_id(request)
        await self._make_room(session_id)
        channels = await reservation.create_channels()
        self._enter(session_id, channels.internal, start.params, reservation)
        return Started(session_id=session_id, **channels.public)

    def _enter(
        self,
        session_id: str,
        channels: Channels,
        params: dict[str, Any],
        reservation: Reservation,
    ) -> None:
        self._admission.enter(LiveSession(self._context, session_id, channels, params, reservation))

    async def _make_room(self, session_id: str) -> None:
        """Wait for the end of a session of this name; cut it if its channels are gone.

        Raises JobError when they are not gone, or when no session is admitted.
        """
        if stale := self._admission.get(session_id):
            if not stale.stopping:
                async with new_client(self._context.tls) as http:
                    gone = await is_gone(http, stale.channels.subscribe_url, Outage())
                if not gone:
                    words = f"stream {session_id} is running already: stop it first"
                    raise JobError("bad_request", words, field="X-Stream-Id", status=409)
                stale.abort()
            await stale.ended(END_SECONDS)
        await self._admission.wait_for_room(ROOM_SECONDS)
