"""What one live session does: follows its channels, and speaks on them, until it ends."""

import asyncio
import itertools
import json
import time
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, NamedTuple

import aiohttp
import structlog
from pydantic import ValidationError

from .channels import Channels
from .dialogue import Dialogue
from .encoders import EncoderName
from .engine.dispatcher import Dispatcher
from .errors import JobError
from .media.pipeline import Pipeline
from .ops.metrics import Metrics
from .parameters import Update
from .publisher import Publisher
from .reservation import Reservation
from .settings import Settings
from .stats import Stats
from .subscriber import Subscriber
from .trickle import (
    LOST_SECONDS,
    ChannelClosedError,
    ChannelLostError,
    Outage,
    is_gone,
    new_client,
)
from .trust import Tls
from .voice import KEEP_ALIVE_SECONDS, Data, Events, Media, Outbox

# Gateways stop a stream after 30 s without an event (byoc/trickle.go).
HEARTBEAT_SECONDS = 5
# For what was accepted to come out, as far as the grace period allows; then it is cut.
FLUSH_SECONDS = 8
LAST_STEPS_SECONDS = 4
LAST_WORDS_SECONDS = 1
MAX_CONTROL_BYTES = 1_048_576
KEEP_ALIVE = {"keep": "alive"}

log = structlog.get_logger()


class Live(NamedTuple):
    """What every session needs."""

    settings: Settings
    dispatcher: Dispatcher
    metrics: Metrics
    encoder: EncoderName
    tls: Tls


class LiveSession:
    """One stream."""

    def __init__(
        self,
        live: Live,
        session_id: str,
        channels: Channels,
        params: dict[str, Any],
        reservation: Reservation,
    ) -> None:
        self.id = session_id
        self.channels = channels
        self.reservation = reservation
        self._settings, dispatcher, metrics, encoder, self._tls = live
        # Callers need not write on channels that the container has made (contract §5.4).
        self._keep_seconds = KEEP_ALIVE_SECONDS if reservation.owns_channels else float("inf")
        count_lost = metrics.errors.labels(type="transport").inc
        self._events = Events(count_lost)
        self._data = Data(count_lost)
        self._stats = Stats()
        self._dialogue = Dialogue(
            session_id,
            params,
            self._stats,
            metrics,
            self._events,
            self._data,
            self._change,
            self.stop,
        )
        self._pipeline = Pipeline(
            self._settings, metrics, dispatcher, encoder, self._stats, self._dialogue
        )
        self._stopping: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self.whole = True  # all that was accepted has come out
        self._received = self._heard = time.monotonic()

    @property
    def stopping(self) -> bool:
        return self._stopping.done()

    def stop(self, reason: str) -> None:
        """End once what was accepted has come out; the first reason counts."""
        if not self.stopping:
            self._stopping.set_result(reason)

    def cut(self) -> None:
        """End at once."""
        self.stop("cut")
        self._pipeline.cut()

    async def ended(self) -> None:
        await self._ended.wait()

    def update(self, params: dict[str, Any]) -> None:
        """Change some parameters; an event tells what the model says of them."""
        self._dialogue.update(params)

    def _change(self, params: str) -> None:
        self._pipeline.update(params)

    def failed(self, error: JobError) -> None:
        """Tell of a fault that has been counted."""
        self._dialogue.failed(error)

    def status(self) -> dict[str, Any]:
        state = "stopping" if self.stopping else "streaming"
        return {"session_id": self.id, "state": state, **self._stats.report()}

    async def run(self) -> str:
        """The whole life; returns the reason of the end."""
        with structlog.contextvars.bound_contextvars(session_id=self.id):
            async with new_client(self._tls) as http:
                reason = await self._live(http)
            log.info("session ended", reason=reason, **self._stats.report())
        self._ended.set()
        return reason

    async def _live(self, http: aiohttp.ClientSession) -> str:
        log.info("session started")
        self._events.tell("started", params=self._dialogue.params)
        self._pipeline.start(self.id, json.dumps(self._dialogue.params))
        inputs = [self._read_input(http), self._follow_control(http), self._watch()]
        following = [self._spawn(part) for part in inputs]
        words = [self._send_events(http), self._send_data(http)]
        speaking = [self._spawn(part) for part in words]
        output = self._spawn(self._send_media(http))
        reason = await self._stopping
        await cancel(following)
        await self._flush(output)
        self._events.tell("stopped", reason=reason, **self._stats.report())
        self._events.end()
        self._data.end()
        await asyncio.wait(speaking, timeout=LAST_WORDS_SECONDS)
        await cancel(speaking)
        return reason

    def _spawn(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A part of the session, which ends it if it fails."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                log.error("session failed", session_id=self.id, exc_info=error)
                self._dialogue.fail(JobError("internal", "the container failed on this session"))
                self.stop("failed")

        task = asyncio.create_task(part)
        task.add_done_callback(ended)
        return task

    async def _flush(self, output: asyncio.Task[None]) -> None:
        """What was received goes on to the end of the output channel."""
        self._pipeline.source.end()
        seconds = max(1, self._settings.shutdown_grace_seconds - LAST_STEPS_SECONDS)
        patience = max(FLUSH_SECONDS, self._settings.max_latency_seconds)
        await asyncio.wait([output], timeout=min(seconds, patience))
        if not output.done():
            log.warning("session cut before all was out")
            self.whole = False
            self._pipeline.cut()
            output.cancel()
        await self._pipeline.join()
        await asyncio.wait([output])

    # What follows the caller

    async def _read_input(self, http: aiohttp.ClientSession) -> None:
        channel = Subscriber(http, self.channels.subscribe_url, self._keep_seconds)
        try:
            async with aclosing(channel.segments()) as segments:
                async for segment in segments:
                    async for data in segment.chunks():
                        self._received = time.monotonic()
                        await self._pipeline.source.put(data)
        except ChannelLostError:
            self._lost("input")
            return
        # Callers close the input alone, orchestrators all that they have.
        others = (self.channels.publish_url, self.channels.events_url)
        gone = [url for url in others if url and await is_gone(http, url, Outage())]
        self.stop("orchestrator_closed" if gone else "input_ended")

    async def _follow_control(self, http: aiohttp.ClientSession) -> None:
        if self.channels.control_url is None:
            return
        channel = Subscriber(http, self.channels.control_url, self._keep_seconds)
        try:
            async with aclosing(channel.segments()) as segments:
                async for segment in segments:
                    if message := await segment.read(MAX_CONTROL_BYTES):
                        self._heard = time.monotonic()
                        self._obey(message)
        except ChannelLostError:
            self._lost("control")
            return
        if self.reservation.owns_channels:
            log.info("control channel gone")
        else:
            self.stop("control_closed")

    def _obey(self, message: bytes) -> None:
        """Parameters, as a gateway repeats them after it has changed orchestrators (§3.4)."""
        try:
            params: dict[str, Any] | None = Update.model_validate_json(message).params
        except ValidationError:
            params = None
        if params is None or ("keep" in params and params != KEEP_ALIVE):
            log.info("control message ignored", bytes=len(message))
        elif params != KEEP_ALIVE:
            self.update(params)

    async def _watch(self) -> None:
        """End what nobody ends: orchestrators don't always say that a stream is over (§3.5)."""
        settings = self._settings
        controlled = self.channels.control_url and not self.reservation.owns_channels
        for second in itertools.count():
            if second % HEARTBEAT_SECONDS == 0:
                report = self._stats.report()
                self._events.tell("heartbeat", queue="stream_heartbeat", **report)
                self._events.tell("status", state="streaming", **report)
            await asyncio.sleep(1)
            now = time.monotonic()
            if controlled and now - self._heard > settings.control_timeout_seconds:
                self.stop("control_silent")
            if not controlled and now - self._received > settings.session_idle_seconds:
                self.stop("idle")

    # What it sends

    async def _send_media(self, http: aiohttp.ClientSession) -> None:
        try:
            url = self.channels.publish_url
            await self._send(http, Media(self._pipeline.sink), "output", url, "video/mp2t")
        finally:
            self._pipeline.cut()

    async def _send_events(self, http: aiohttp.ClientSession) -> None:
        await self._send(http, self._events, "events", self.channels.events_url, "application/json")

    async def _send_data(self, http: aiohttp.ClientSession) -> None:
        await self._send(http, self._data, "data", self.channels.data_url, "application/jsonl")

    async def _send(
        self, http: aiohttp.ClientSession, outbox: Outbox, name: str, url: str | None, kind: str
    ) -> None:
        """Until the end; that of the output or the events is the session's."""
        if url is None:
            await outbox.discard()
            return

        def broken(reason: str) -> None:
            words = f"the connection of the {name} channel broke: {reason}"
            self._dialogue.fail(JobError("transport", words))

        channel = Publisher(http, url, kind, broken)
        try:
            await outbox.publish(channel)
        except ChannelLostError:
            self._lost(name)
        except ChannelClosedError:
            log.info("channel gone", channel=name)
            if outbox is not self._data:
                self.stop(f"{name}_closed")
        finally:
            await channel.close()

    def _lost(self, name: str) -> None:
        """The orchestrator is gone, or the way to it."""
        words = f"the {name} channel can't be reached for {LOST_SECONDS} s"
        self._dialogue.fail(JobError("transport", words))
        self.stop("orchestrator_lost")


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    """And wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
