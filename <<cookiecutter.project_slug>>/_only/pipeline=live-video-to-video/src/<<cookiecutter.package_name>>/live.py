"""What one live session does: follows its channels, and speaks on them, until it ends."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, NamedTuple

import structlog
from pydantic import ValidationError

from .dialogue import Dialogue
from .encoders import EncoderName
from .engine.dispatcher import Dispatcher
from .errors import JobError
from .media.pipeline import Pipeline
from .ops.metrics import Metrics
from .parameters import Update
from .settings import Settings
from .stats import Stats
from .trickle import ChannelClosedError, ChannelLostError, Publisher, chunks, subscribe
from .voice import KEEP_ALIVE_SECONDS, Data, Events, Mailbox

# Gateways stop a stream after 30 s without an event (byoc/trickle.go).
HEARTBEAT_SECONDS = 5
# For what was accepted to come out, as far as the grace period allows; then it is cut.
FLUSH_SECONDS = 8
LAST_STEPS_SECONDS = 4
LAST_WORDS_SECONDS = 1
CLOSE_SECONDS = 0.5
CANCEL_SECONDS = 0.1
MAX_CONTROL_BYTES = 1_048_576
KEEP_ALIVE = {"keep": "alive"}

log = structlog.get_logger()


class Channels(NamedTuple):
    """Addresses, all of them secrets; those that the caller did not name are None."""

    subscribe_url: str
    publish_url: str | None
    control_url: str | None
    events_url: str | None
    data_url: str | None


class Live(NamedTuple):
    """What every session needs."""

    settings: Settings
    dispatcher: Dispatcher
    metrics: Metrics
    encoder: EncoderName


class LiveSession:
    """One stream. `release` gives the session back to the live runner's orchestrator."""

    def __init__(
        self,
        live: Live,
        session_id: str,
        channels: Channels,
        params: dict[str, Any],
        release: Callable[[], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self.id = session_id
        self.channels = channels
        self._settings, dispatcher, metrics, encoder = live
        self._release = release
        # Who creates channels keeps them: callers need not write on them (contract §5.4).
        self._keep_seconds = KEEP_ALIVE_SECONDS if release else None
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
            log.info("session started")
            self._events.tell("started", params=self._dialogue.params)
            self._pipeline.start(self.id, json.dumps(self._dialogue.params))
            inputs = [self._read_input(), self._follow_control(), self._watch()]
            following = [self._spawn(part) for part in inputs]
            speaking = [self._spawn(part) for part in (self._send_events(), self._send_data())]
            output = self._spawn(self._write_output())
            reason = await self._stopping
            await end_tasks(following, CANCEL_SECONDS)
            await self._flush(output)
            await self._say_goodbye(reason, speaking)
            log.info("session ended", reason=reason, **self._stats.report())
        self._ended.set()
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
            self._pipeline.cut()
            output.cancel()
        await self._pipeline.join()
        await asyncio.wait([output])

    async def _say_goodbye(self, reason: str, speaking: list[asyncio.Task[None]]) -> None:
        self._events.tell("stopped", reason=reason, **self._stats.report())
        self._events.end()
        self._data.end()
        await asyncio.wait(speaking, timeout=LAST_WORDS_SECONDS)
        await end_tasks(speaking, CLOSE_SECONDS)
        # The channels end with the session.
        if self._release and reason not in ("stopped", "released"):
            await self._give_back(self._release)

    async def _give_back(self, release: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await release()
        except Exception as error:
            # Whoever has reserved the session may be gone, too.
            log.info("session not released", reason=type(error).__name__)

    # What follows the caller

    async def _read_input(self) -> None:
        try:
            url, keep = self.channels.subscribe_url, self._keep_seconds
            async with aclosing(subscribe(url, keep_alive_seconds=keep)) as segments:
                async for segment in segments:
                    async for data in chunks(segment):
                        self._received = time.monotonic()
                        await self._pipeline.source.put(data)
        except ChannelLostError:
            self._dialogue.fail(JobError("transport", "the input channel can't be reached"))
        self.stop("input_ended")

    async def _follow_control(self) -> None:
        url = self.channels.control_url
        if url is None:
            return
        try:
            keep = self._keep_seconds
            async with aclosing(subscribe(url, MAX_CONTROL_BYTES, keep)) as segments:
                async for segment in segments:
                    message = b"".join([data async for data in chunks(segment)])
                    if message:
                        self._heard = time.monotonic()
                        self._obey(message)
        except ChannelLostError:
            self._dialogue.fail(JobError("transport", "the control channel can't be reached"))
        if self._release is None:
            self.stop("control_closed")
        else:
            log.info("control channel gone")

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
        controlled = self.channels.control_url is not None and self._release is None
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

    # What it says

    async def _write_output(self) -> None:
        if self.channels.publish_url is None:
            while await self._pipeline.sink.get():
                pass
            return
        channel = Publisher(self.channels.publish_url, "video/mp2t")
        begun = time.monotonic()
        try:
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        chunk = await self._pipeline.sink.get()
                except TimeoutError:
                    await channel.keep_alive()
                    begun = float("-inf")
                    continue
                if chunk is None:
                    break
                data, begins = chunk
                # Sound whose pictures have stopped has no keyframe to begin with, and what comes
                # after an empty segment may have none.
                if begins or time.monotonic() - begun > KEEP_ALIVE_SECONDS:
                    await channel.begin()
                    begun = time.monotonic()
                await channel.write(data)
        except ChannelClosedError:
            pass
        except ChannelLostError:
            self._dialogue.fail(JobError("transport", "the output channel can't be reached"))
        finally:
            self.stop("output_closed")
            self._pipeline.cut()
            await channel.close()

    async def _send_events(self) -> None:
        if not await self._send(self._events, self.channels.events_url, "application/json"):
            self.stop("events_closed")

    async def _send_data(self) -> None:
        await self._send(self._data, self.channels.data_url, "application/jsonl")

    async def _send(self, mailbox: Mailbox, url: str | None, mime_type: str) -> bool:
        """Until nothing more is said; False when the channel is closed or lost."""
        if url is None:
            while await mailbox.get() is not None:
                pass
            return True
        channel = Publisher(url, mime_type)
        try:
            await mailbox.publish(channel)
        except (ChannelClosedError, ChannelLostError) as error:
            log.info("channel gone", mime_type=mime_type, reason=type(error).__name__)
            return False
        finally:
            await channel.close()
        return True


async def end_tasks(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """Cancel them, every so many seconds: the SDK swallows a cancellation here and there."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=seconds)
