"""What waits for the model: a short queue of frames for each session, and whose turn it is.

A session's frames go in order and one at a time. They are dropped when they are late, the oldest
first, and never because of another session: sessions that have work take turns.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from av import VideoFrame
from av.rational import AVRational

from .frame_protocol import Task
from .notices import Notice

# Enough for the jitter of a network that delivers several frames at once.
QUEUE_FRAMES = 4
# Pictures of one session on their way to the encoder.
MAX_UNENCODED = 4

type DropReason = Literal["late", "model", "failed", "restart", "timestamp"]

DROP_REASONS: tuple[DropReason, ...] = get_args(DropReason.__value__)


class Look(NamedTuple):
    """How the input's video is to be shown."""

    rate: AVRational | None
    sample_aspect_ratio: AVRational
    colorspace: int
    color_primaries: int
    color_trc: int


class Frame(NamedTuple):
    """An rgb24 picture. It arrived, and is late after `due`, by the clock of time.monotonic()."""

    picture: VideoFrame
    look: Look
    arrived: float
    due: float


class Outlet(NamedTuple):
    """Where a session's frames and notices go on. Any thread may call these, and none may wait.

    `encode` is given what the model made of the frame, or None to encode the frame as it came.
    """

    encode: Callable[[Frame, VideoFrame | None], None]
    drop: Callable[[DropReason], None]
    notify: Callable[[Notice], None]


class Feed:
    """What one session has for the model, and where it goes on."""

    def __init__(
        self, number: int, session_id: str, params: str, outlet: Outlet, lock: threading.Lock
    ) -> None:
        self.number = number
        self.session_id = session_id
        self.params = params
        self.outlet = outlet
        self.frames: deque[Frame] = deque()
        self.tasks: deque[Task] = deque()
        self.room = threading.Condition(lock)
        self.unencoded = 0
        self.opened = False
        self.busy = False
        self.cut = False
        self.gone = False

    def task(
        self,
        kind: Literal["params", "frame", "close"],
        params: str = "",
        *,
        height: int = 0,
        width: int = 0,
    ) -> Task:
        return Task(kind, self.number, self.session_id, params, height, width)

    def drop_late(self, keep: int) -> None:
        """Drop the oldest that are late, as long as more than `keep` wait."""
        now = time.monotonic()
        while len(self.frames) > keep and self.frames[0].due < now:
            self.frames.popleft()
            self.outlet.drop("late")

    @property
    def has_work(self) -> bool:
        frames = self.opened and self.frames and self.unencoded < MAX_UNENCODED
        return not self.busy and bool(self.tasks or frames)


class Scheduler:
    """The feeds of all sessions. Without a worker that serves, frames bypass the model.

    Frames that the model has not processed are encoded as they came, if `pass_unprocessed`, or else
    dropped.
    """

    def __init__(self, *, pass_unprocessed: bool) -> None:
        self._pass_unprocessed = pass_unprocessed
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._feeds: deque[Feed] = deque()
        self._serving = False
        self._bypassing = False

    @property
    def feeds(self) -> list[Feed]:
        with self._lock:
            return [feed for feed in self._feeds if not feed.gone]

    def join(self, session_id: str, params: str, outlet: Outlet) -> Feed:
        """A session enters: its state is made before its first frame is served."""
        with self._lock:
            feed = Feed(next(self._numbers), session_id, params, outlet, self._lock)
            self._feeds.append(feed)
            self._enqueue(feed, feed.task("params", params))
        return feed

    def enqueue_params(self, feed: Feed, params: str) -> None:
        """Have the session's parameters changed, all of them, before its next frame."""
        with self._lock:
            self._enqueue(feed, feed.task("params", params))

    def leave(self, feed: Feed) -> None:
        """Its state is freed; frames that still wait are forgotten."""
        with self._lock:
            feed.cut = feed.gone = True
            feed.frames.clear()
            feed.room.notify_all()
            if self._serving:
                self._enqueue(feed, feed.task("close"))
            elif not feed.busy:
                self._feeds.remove(feed)

    def cut(self, feed: Feed) -> None:
        """Nobody waits for this session's frames any more."""
        with self._lock:
            feed.cut = True
            feed.room.notify_all()

    def put(self, feed: Feed, frame: Frame) -> None:
        """Wait while the queue is full, at most until its oldest frame is late."""
        with self._lock:
            feed.frames.append(frame)
            self._forward(feed)
            while len(feed.frames) > QUEUE_FRAMES and not feed.cut:
                feed.drop_late(QUEUE_FRAMES)
                if len(feed.frames) > QUEUE_FRAMES:
                    feed.room.wait(feed.frames[0].due - time.monotonic())
                    self._forward(feed)

    def drain(self, feed: Feed) -> None:
        """Wait until the session's frames have all been served, or it is cut."""
        with self._lock:
            while (feed.frames or feed.busy or feed.unencoded) and not feed.cut:
                self._forward(feed)
                feed.room.wait()

    def encoded(self, feed: Feed) -> None:
        """A picture has left the encoder: there is room for one more."""
        with self._lock:
            feed.unencoded -= 1
            self._forward(feed)
            feed.room.notify_all()

    def take(self) -> tuple[Feed, Task | Frame] | None:
        """The next piece of work, in turn; None once `halt` has been called."""
        with self._lock:
            while self._serving:
                for _ in range(len(self._feeds)):
                    feed = self._feeds[0]
                    self._feeds.rotate(-1)
                    if feed.has_work:
                        feed.busy = True
                        return feed, self._next(feed)
                self._work.wait()
            return None

    def deliver(self, feed: Feed, frame: Frame, picture: VideoFrame | None) -> bool:
        """Pass on what the model made of the frame; None drops it.

        Returns whether a picture is on its way to the encoder.
        """
        if picture is None:
            feed.outlet.drop("model")
            return False
        feed.outlet.encode(frame, picture)
        return True

    def bypass(self, feed: Feed, frame: Frame, reason: DropReason) -> bool:
        """Pass on the frame as it came, or drop it, because the model has not processed it.

        Returns whether it is on its way to the encoder.
        """
        if not self._pass_unprocessed:
            feed.outlet.drop(reason)
            return False
        feed.outlet.encode(frame, None)
        return True

    def done(self, feed: Feed, *, unencoded: bool) -> None:
        """What was taken has been served; `unencoded`: a picture is on its way to the encoder."""
        with self._lock:
            feed.busy = False
            feed.unencoded += unencoded
            if feed.gone and not feed.tasks:
                self._feeds.remove(feed)
            elif feed.has_work:
                self._work.notify()
            feed.room.notify_all()

    def use_model(self) -> None:
        """There is a worker, and it knows no session yet."""
        with self._lock:
            for feed in [feed for feed in self._feeds if feed.gone]:
                self._feeds.remove(feed)
            for feed in self._feeds:
                feed.opened = False
                feed.tasks.appendleft(feed.task("params", feed.params))
            self._serving, self._bypassing = True, False

    def halt(self) -> None:
        """Nothing more is taken."""
        with self._lock:
            self._serving = False
            self._work.notify_all()

    def bypass_model(self) -> None:
        """The worker is gone: frames bypass the model until there is another worker.

        Tasks that wait are dropped, because parameters may be what has killed it.
        """
        with self._lock:
            self._bypassing = True
            for feed in self._feeds:
                feed.tasks.clear()
                self._forward(feed)
                feed.room.notify_all()

    def _enqueue(self, feed: Feed, task: Task) -> None:
        feed.tasks.append(task)
        self._work.notify()

    def _next(self, feed: Feed) -> Task | Frame:
        if feed.tasks:
            return feed.tasks.popleft()
        feed.drop_late(1)
        frame = feed.frames.popleft()
        feed.room.notify_all()
        return frame

    def _forward(self, feed: Feed) -> None:
        if not self._bypassing:
            self._work.notify()
            return
        while feed.frames and feed.unencoded < MAX_UNENCODED:
            feed.unencoded += self.bypass(feed, feed.frames.popleft(), "restart")
