"""One live session, from its first event to its last."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import structlog

from ..errors import JobError
from ..livepeer.channels import Channels
from ..livepeer.publisher import Publisher
from ..livepeer.reservation import Reservation
from ..livepeer.tls import Tls
from ..livepeer.trickle import LOST_SECONDS, ChannelClosedError, ChannelLostError, new_client
from ..media.pipeline import MediaContext, Pipeline
from ..settings import ContainerSettings
from ..worker.frame_settings import FrameSettings
from ..worker.notices import (
    Emitted,
    Fault,
    InputChanged,
    Notice,
    ParamsAccepted,
    ParamsRefused,
    WorkerLost,
)
from .admission import Session
from .events import Events
from .faults import FaultReporter
from .live_input import LiveInput
from .live_settings import LiveSettings
from .outbox import DataOutbox, MediaOutbox, Outbox
from .params import ParamsState, Reaction

# Gateways stop a stream after 30 s without an event (byoc/trickle.go).
HEARTBEAT_SECONDS = 5
# How long accepted input may take to come out, within the grace period; then it is cut.
FLUSH_SECONDS = 8
LAST_STEPS_SECONDS = 4
LAST_MESSAGES_SECONDS = 1

# A session runs several parts at once. A part that returns a reason ends the session with it.
type Part = Callable[[], Awaitable[str | None]]

log = structlog.get_logger()


class LiveContext(NamedTuple):
    """What all sessions share."""

    media: MediaContext
    tls: Tls


class LiveSession(Session):
    """One stream. `lossless` is False once it was cut before all accepted input had come out."""

    def __init__(
        self,
        context: LiveContext,
        session_id: str,
        channels: Channels,
        params: dict[str, Any],
        reservation: Reservation,
    ) -> None:
        super().__init__(session_id)
        self.channels = channels
        self.reservation = reservation
        self.lossless = True
        self._tls = context.tls
        self._settings = context.media.settings
        self._metrics = context.media.metrics
        count_dropped = partial(self._metrics.count_error, "transport")
        self._events = Events(count_dropped)
        self._data = DataOutbox(count_dropped)
        self._faults = FaultReporter(session_id, self._metrics, self._events)
        self._params = ParamsState(params)
        self._pipeline = Pipeline(context.media, self._handle_notice)
        self._stopping: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()

    @property
    def stopping(self) -> bool:
        return self._stopping.done()

    def stop(self, reason: str) -> None:
        """End once all accepted input has come out; the first reason counts."""
        if not self.stopping:
            self._stopping.set_result(reason)

    def cut(self, error: JobError) -> None:
        self._faults.report(error)
        self.abort()

    def abort(self) -> None:
        """End at once, without an error to report."""
        self.stop("cut")
        self._pipeline.cut()

    async def ended(self, seconds: float) -> None:
        """Wait for the end, for `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def update_params(self, params: dict[str, Any]) -> None:
        """Change some parameters; an event says what the model makes of them."""
        self._pipeline.send_params(self._params.merge(params))

    def status(self) -> dict[str, Any]:
        state = "stopping" if self.stopping else "streaming"
        return {"session_id": self.id, "state": state, **self._pipeline.stats.report()}

    async def run(self) -> str:
        """From the start to the end; returns the reason of the end."""
        with structlog.contextvars.bound_contextvars(session_id=self.id):
            async with new_client(self._tls) as http:
                reason = await self._serve(http)
            log.info("session ended", reason=reason, **self._pipeline.stats.report())
        self._ended.set()
        return reason

    async def _serve(self, http: aiohttp.ClientSession) -> str:
        log.info("session started")
        self._events.emit_started(self._params.current)
        self._pipeline.start(self.id, json.dumps(self._params.current))
        caller = LiveInput(
            http,
            self._settings[LiveSettings],
            self.channels,
            owns_channels=self.reservation.owns_channels,
        )
        receiving = [
            self._spawn("input", partial(caller.read_media, self._pipeline.source)),
            self._spawn("control", partial(caller.read_control, self.update_params)),
            self._spawn("silence", caller.wait_for_silence),
            self._spawn("heartbeat", self._emit_heartbeats),
        ]
        events_url, data_url = self.channels.events_url, self.channels.data_url
        sending = [
            self._spawn("events", partial(self._send, http, self._events, events_url)),
            self._spawn("data", partial(self._send, http, self._data, data_url)),
        ]
        output = self._spawn("output", partial(self._send_media, http))
        reason = await self._stopping
        await cancel(receiving)
        await self._flush(output)
        self._events.emit_stopped(reason, self._pipeline.stats.report())
        self._events.end()
        self._data.end()
        await asyncio.wait(sending, timeout=LAST_MESSAGES_SECONDS)
        await cancel(sending)
        return reason

    def _spawn(self, name: str, part: Part) -> asyncio.Task[None]:
        return asyncio.create_task(self._run_part(name, part))

    async def _run_part(self, name: str, part: Part) -> None:
        """`name` is that of the part's channel, if it has one."""
        try:
            if reason := await part():
                self.stop(reason)
        except ChannelLostError:
            self._lose_channel(name)
        except Exception:
            log.exception("session failed")
            error = JobError("internal", "the container failed on this session")
            self._faults.count_and_report(error)
            self.stop("failed")

    async def _flush(self, output: asyncio.Task[None]) -> None:
        """Let what was received go on to the end of the output channel."""
        self._pipeline.source.end()
        grace = self._settings[ContainerSettings].shutdown_grace_seconds
        patience = max(FLUSH_SECONDS, self._settings[FrameSettings].max_latency_seconds)
        await asyncio.wait([output], timeout=min(max(1, grace - LAST_STEPS_SECONDS), patience))
        if not output.done():
            log.warning("session cut before all was out")
            self.lossless = False
            self._pipeline.cut()
            output.cancel()
        await self._pipeline.join()
        await asyncio.wait([output])

    # What it sends

    async def _emit_heartbeats(self) -> None:
        while True:
            self._events.emit_heartbeat(self._pipeline.stats.report())
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _send_media(self, http: aiohttp.ClientSession) -> None:
        try:
            await self._send(http, MediaOutbox(self._pipeline.sink), self.channels.publish_url)
        finally:
            self._pipeline.cut()

    async def _send(self, http: aiohttp.ClientSession, outbox: Outbox, url: str | None) -> None:
        """Send until the outbox ends; a closed output or events channel ends the session."""
        if url is None:
            await outbox.discard()
            return
        name = outbox.channel_name

        def report_break(reason: str) -> None:
            words = f"the connection of the {name} channel broke: {reason}"
            self._faults.count_and_report(JobError("transport", words))

        channel = Publisher(http, url, outbox.mime_type, report_break)
        try:
            await outbox.publish(channel)
        except ChannelLostError:
            self._lose_channel(name)
        except ChannelClosedError:
            log.info("channel gone", channel=name)
            if outbox is not self._data:
                self.stop(f"{name}_closed")
        finally:
            await channel.close_channel()

    def _lose_channel(self, name: str) -> None:
        """The orchestrator can't be reached any more, which ends the session."""
        words = f"the {name} channel can't be reached for {LOST_SECONDS} s"
        self._faults.count_and_report(JobError("transport", words))
        self.stop("orchestrator_lost")

    # What the model and the media bring

    def _handle_notice(self, notice: Notice) -> None:
        match notice:
            case Emitted(events=events, data=data):
                for event in events:
                    self._events.relay(event)
                for line in data:
                    self._data.put(line)
            case ParamsAccepted(params=params):
                self._apply(self._params.accept(params, self._pipeline.stats.unprocessed))
            case ParamsRefused(params=params, error=error):
                self._metrics.count_error(error.type)
                self._faults.report_always(error)
                self._apply(self._params.refuse(params))
            case Fault(error=error):
                self._faults.report(error)
            case WorkerLost(error=error):
                self._faults.report(error)
                self._apply(self._params.lose_worker(self._pipeline.stats.unprocessed))
            case InputChanged(error=error):
                self._faults.report_always(error)
                self.stop("input_changed")

    def _apply(self, reaction: Reaction) -> None:
        if reaction.recovered is not None:
            self._events.emit_recovered(reaction.recovered)
        if reaction.updated:
            self._events.emit_params_updated(self._params.current)
        if reaction.params is not None:
            self._pipeline.send_params(reaction.params)
        if reaction.failed:
            self.stop("failed")


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
