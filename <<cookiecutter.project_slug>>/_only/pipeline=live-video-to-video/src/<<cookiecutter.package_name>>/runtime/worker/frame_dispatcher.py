"""Hands the sessions' frames to the model, through each slot of the worker on its own thread."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from ..errors import ErrorType, JobError, WorkerLostError
from ..metrics import Metrics
from ..settings import Settings
from .dispatcher import Dispatcher
from .frame_protocol import Reply, Task
from .frame_settings import FrameSettings
from .frame_slot import FrameSlot
from .notices import Emitted, Fault, ParamsAccepted, ParamsRefused, WorkerLost
from .process import WorkerProcess
from .scheduler import Feed, Frame, Scheduler

log = structlog.get_logger()

LOSSES: dict[ErrorType, str] = {
    "worker_crash": "the model's process crashed",
    "out_of_memory": "the model ran out of memory",
    "timeout": "the model hung",
}


class FrameDispatcher(Dispatcher[FrameSlot]):
    slot_type = FrameSlot

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__()
        frames = settings[FrameSettings]
        self.scheduler = Scheduler(pass_unprocessed=frames.unprocessed_frames == "pass")
        self._timeout_seconds = frames.job_timeout_seconds
        self._metrics = metrics
        self._cause: ErrorType | None = None

    @property
    def in_hand(self) -> int:
        return sum(feed.busy for feed in self.scheduler.feeds)

    async def serve(self, worker: WorkerProcess[FrameSlot]) -> None:
        loop = asyncio.get_running_loop()
        slots = list(worker.slots)
        self._cause = None
        self.scheduler.use_model()
        try:
            with ThreadPoolExecutor(len(slots), "slot") as pool:
                ends = [loop.run_in_executor(pool, self._serve_slot, slot) for slot in slots]
                try:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
                finally:
                    self.scheduler.halt()
                    for slot in slots:
                        slot.shut()
                    # May be cancelled here as well: the slot and the process end at the same time.
                    await asyncio.gather(*ends, return_exceptions=True)
        finally:
            self.scheduler.bypass_model()
        for end in ends:
            end.result()
        raise WorkerLostError(self._cause)

    def settle(self, loss: ErrorType, *, known: bool) -> None:
        """Notify every session that the model is away for a while; count the loss once."""
        if not known:
            self._metrics.count_error(loss)
        loss = self._cause or loss
        for feed in self.scheduler.feeds:
            feed.outlet.notify(WorkerLost(JobError(loss, LOSSES[loss])))

    def _serve_slot(self, slot: FrameSlot) -> None:
        while taken := self.scheduler.take():
            feed, work = taken
            unencoded = False
            try:
                if isinstance(work, Frame):
                    unencoded = self._process(slot, feed, work)
                else:
                    self._perform(slot, feed, work)
            except Exception:
                kind = "frame" if isinstance(work, Frame) else work.kind
                log.error("worker lost at work", session_id=feed.session_id, kind=kind)
                if isinstance(work, Frame):
                    unencoded = self.scheduler.bypass(feed, work, "restart")
                raise
            finally:
                self.scheduler.done(feed, unencoded=unencoded)

    def _process(self, slot: FrameSlot, feed: Feed, frame: Frame) -> bool:
        """Have the model process the frame; returns whether a picture is on its way out."""
        picture = frame.picture
        try:
            slot.put(picture)
            task = feed.task("frame", height=picture.height, width=picture.width)
            reply = self._exchange(slot, feed, task)
        except JobError as error:
            self._fail(feed, error)
        else:
            self.useful = True
            answer = slot.take(reply) if reply.kind == "picture" else None
            return self.scheduler.deliver(feed, frame, answer)
        return self.scheduler.bypass(feed, frame, "failed")

    def _perform(self, slot: FrameSlot, feed: Feed, task: Task) -> None:
        """Have the model take the session's parameters, or close the session's state."""
        try:
            self._exchange(slot, feed, task)
        except JobError as error:
            if task.kind == "close":
                self._fail(feed, error)
            else:
                feed.outlet.notify(ParamsRefused(task.params, error))
        else:
            if task.kind != "close":
                feed.opened, feed.params = True, task.params
                feed.outlet.notify(ParamsAccepted(task.params))

    def _fail(self, feed: Feed, error: JobError) -> None:
        self._metrics.count_error(error.type)
        feed.outlet.notify(Fault(error))

    def _exchange(self, slot: FrameSlot, feed: Feed, task: Task) -> Reply:
        seconds = self._timeout_seconds
        try:
            reply = slot.exchange(task, seconds)
        except TimeoutError:
            self._metrics.count_error("timeout")
            self._cause = "timeout"
            log.error("model took too long", session_id=feed.session_id, seconds=seconds)
            raise WorkerLostError("timeout") from None
        if reply.events or reply.data:
            feed.outlet.notify(Emitted(reply.events, reply.data))
        if reply.kind == "error":
            if reply.error == "out_of_memory":
                # What is left of the process's memory is unknown.
                self._metrics.count_error(reply.error)
                self._cause = reply.error
                raise WorkerLostError(reply.error)
            raise JobError(reply.error, reply.message, field=reply.field)
        return reply
