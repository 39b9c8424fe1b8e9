"""Hands the sessions' frames to the model, one lane of the worker to a thread."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog
from av import VideoFrame

from ..errors import ErrorType, JobError, WorkerLostError
from ..ops.metrics import Metrics
from ..settings import Settings
from .exchange import Reply, Task
from .lane import Lane
from .process import WorkerProcess
from .schedule import Feed, Frame, Receiver, Schedule

log = structlog.get_logger()

LOSSES: dict[ErrorType, str] = {
    "worker_crash": "the model's process crashed",
    "out_of_memory": "the model ran out of memory",
    "timeout": "the model hung",
}


class ModelReceiver(Receiver, Protocol):
    """What a session is told of the model. Called by any thread, and not allowed to wait."""

    def processed(self, frame: Frame, picture: VideoFrame | None) -> bool:
        """True when the picture is on its way to the encoder; None: the model dropped it."""

    def said(self, reply: Reply) -> None:
        """What the model has emitted."""

    def accepted(self, task: Task) -> None:
        """The model has opened the session, or taken new parameters."""

    def refused(self, task: Task, error: JobError) -> None: ...

    def failed(self, error: JobError) -> None: ...

    def lost(self, loss: JobError) -> None:
        """The worker is gone; `accepted` says that there is another."""


type ModelFeed = Feed[ModelReceiver]


class Dispatcher:
    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.useful = False
        self.schedule: Schedule[ModelReceiver] = Schedule()
        self._cause: ErrorType | None = None
        self._settings = settings
        self._metrics = metrics

    @property
    def in_hand(self) -> int:
        """How many frames and other tasks the worker has."""
        return sum(feed.busy for feed in self.schedule.feeds)

    async def serve(self, worker: WorkerProcess) -> None:
        """Until a lane finds the worker lost; raises WorkerLostError."""
        loop = asyncio.get_running_loop()
        lanes = list(worker.lanes)
        self._cause = None
        self.schedule.open()
        try:
            with ThreadPoolExecutor(len(lanes), "lane") as pool:
                ends = [loop.run_in_executor(pool, self._attend, lane) for lane in lanes]
                try:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
                finally:
                    self.schedule.halt()
                    for lane in lanes:
                        lane.shut()
                    # May be cancelled here as well: the lane and the process end at the same time.
                    await asyncio.gather(*ends, return_exceptions=True)
        finally:
            self.schedule.close()
        for end in ends:
            end.result()
        raise WorkerLostError(self._cause)

    def settle(self, loss: ErrorType, *, known: bool) -> None:
        """Tell every session that the model is away for a while; count the loss once."""
        if not known:
            self._metrics.errors.labels(type=loss).inc()
        loss = self._cause or loss
        for feed in self.schedule.feeds:
            feed.receiver.lost(JobError(loss, LOSSES[loss]))

    def _attend(self, lane: Lane) -> None:
        while taken := self.schedule.take():
            feed, work = taken
            unencoded = False
            try:
                if isinstance(work, Frame):
                    unencoded = self._process(lane, feed, work)
                else:
                    self._tell(lane, feed, work)
            except Exception:
                kind = "frame" if isinstance(work, Frame) else work.kind
                log.error("worker lost at work", session_id=feed.session_id, kind=kind)
                if isinstance(work, Frame):
                    unencoded = feed.receiver.unprocessed(work, "restart")
                raise
            finally:
                self.schedule.done(feed, unencoded=unencoded)

    def _process(self, lane: Lane, feed: ModelFeed, frame: Frame) -> bool:
        picture = frame.picture
        try:
            lane.put(picture)
            task = feed.task("frame", height=picture.height, width=picture.width)
            reply = self._exchange(lane, feed, task)
        except JobError as error:
            feed.receiver.failed(error)
        else:
            self.useful = True
            answer = lane.take(reply) if reply.kind == "picture" else None
            return feed.receiver.processed(frame, answer)
        return feed.receiver.unprocessed(frame, "failed")

    def _tell(self, lane: Lane, feed: ModelFeed, task: Task) -> None:
        try:
            self._exchange(lane, feed, task)
        except JobError as error:
            feed.receiver.refused(task, error)
        else:
            if task.kind != "close":
                feed.opened, feed.params = True, task.params
                feed.receiver.accepted(task)

    def _exchange(self, lane: Lane, feed: ModelFeed, task: Task) -> Reply:
        seconds = self._settings.job_timeout_seconds
        try:
            reply = lane.exchange(task, seconds)
        except TimeoutError:
            self._metrics.errors.labels(type="timeout").inc()
            self._cause = "timeout"
            log.error("model took too long", session_id=feed.session_id, seconds=seconds)
            raise WorkerLostError("timeout") from None
        if reply.events or reply.data:
            feed.receiver.said(reply)
        if reply.kind == "error":
            if reply.error == "out_of_memory":
                # What is left of the process's memory is unknown.
                self._metrics.errors.labels(type=reply.error).inc()
                self._cause = reply.error
                raise WorkerLostError(reply.error)
            raise JobError(reply.error, reply.message, field=reply.field)
        return reply
