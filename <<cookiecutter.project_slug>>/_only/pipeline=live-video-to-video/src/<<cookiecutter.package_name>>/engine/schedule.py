"""What waits for the model: a short queue of frames for each session, and whose turn it is.

A session's frames go in order and one at a time. They are dropped when they are late, the oldest
first, and never because of another session: whoever has work is served in turn.
"""

import itertools
import threading
import time
from collections import deque
from typing import Literal, NamedTuple, Protocol

from av import VideoFrame
from av.rational import AVRational

from .exchange import Task

# Enough for the jitter of a network that delivers several frames at once.
QUEUE_FRAMES = 4
# Pictures of one session on their way to the encoder.
MAX_UNENCODED = 4

type DropReason = Literal["late", "model", "failed", "restart", "timestamp"]


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


class Receiver(Protocol):
    """Where a session's frames go on. Called by any thread, and not allowed to wait."""

    def unprocessed(self, frame: Frame, reason: DropReason) -> bool:
        """True when it is on its way to the encoder as it is, False when it is dropped."""

    def dropped(self, reason: DropReason) -> None: ...


class Feed[R: Receiver]:
    """What one session has for the model."""

    def __init__(
        self, number: int, session_id: str, receiver: R, params: str, lock: threading.Lock
    ) -> None:
        self.number = number
        self.session_id = session_id
        self.receiver = receiver
        self.params = params
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
            self.receiver.dropped("late")

    @property
    def has_work(self) -> bool:
        frames = self.opened and self.frames and self.unencoded < MAX_UNENCODED
        return not self.busy and bool(self.tasks or frames)


class Schedule[R: Receiver]:
    """The feeds of all sessions. Without a worker that serves, frames pass the model by."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._feeds: deque[Feed[R]] = deque()
        self._serving = False
        self._bypass = False

    @property
    def feeds(self) -> list[Feed[R]]:
        with self._lock:
            return [feed for feed in self._feeds if not feed.gone]

    def join(self, session_id: str, receiver: R, params: str) -> Feed[R]:
        """A session enters: its state is made before its first frame is served."""
        with self._lock:
            feed = Feed(next(self._numbers), session_id, receiver, params, self._lock)
            self._feeds.append(feed)
            self._tell(feed, feed.task("params", params))
        return feed

    def update(self, feed: Feed[R], params: str) -> None:
        """Have the session's parameters changed, all of them, before its next frame."""
        with self._lock:
            self._tell(feed, feed.task("params", params))

    def leave(self, feed: Feed[R]) -> None:
        """Its state is freed; frames that still wait are forgotten."""
        with self._lock:
            feed.cut = feed.gone = True
            feed.frames.clear()
            feed.room.notify_all()
            if self._serving:
                self._tell(feed, feed.task("close"))
            elif not feed.busy:
                self._feeds.remove(feed)

    def cut(self, feed: Feed[R]) -> None:
        """Nobody waits for this session's frames any more."""
        with self._lock:
            feed.cut = True
            feed.room.notify_all()

    def put(self, feed: Feed[R], frame: Frame) -> None:
        """Waits while there is no room, but for no frame longer than until it is late."""
        with self._lock:
            feed.frames.append(frame)
            self._forward(feed)
            while len(feed.frames) > QUEUE_FRAMES and not feed.cut:
                feed.drop_late(QUEUE_FRAMES)
                if len(feed.frames) > QUEUE_FRAMES:
                    feed.room.wait(feed.frames[0].due - time.monotonic())
                    self._forward(feed)

    def drain(self, feed: Feed[R]) -> None:
        """Wait until the session's frames have all been served, or it is cut."""
        with self._lock:
            while (feed.frames or feed.busy or feed.unencoded) and not feed.cut:
                self._forward(feed)
                feed.room.wait()

    def encoded(self, feed: Feed[R]) -> None:
        """A picture has left the encoder: there is room for one more."""
        with self._lock:
            feed.unencoded -= 1
            self._forward(feed)
            feed.room.notify_all()

    def take(self) -> tuple[Feed[R], Task | Frame] | None:
        """The next piece of work, in turn; None once the worker is to be left alone."""
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

    def done(self, feed: Feed[R], *, unencoded: bool) -> None:
        """What was taken has been served; `unencoded`: a picture is on its way to the encoder."""
        with self._lock:
            feed.busy = False
            feed.unencoded += unencoded
            if feed.gone and not feed.tasks:
                self._feeds.remove(feed)
            elif feed.has_work:
                self._work.notify()
            feed.room.notify_all()

    def open(self) -> None:
        """There is a worker, and it knows no session yet."""
        with self._lock:
            for feed in [feed for feed in self._feeds if feed.gone]:
                self._feeds.remove(feed)
            for feed in self._feeds:
                feed.opened = False
                feed.tasks.appendleft(feed.task("params", feed.params))
            self._serving, self._bypass = True, False

    def halt(self) -> None:
        """Nothing more is taken."""
        with self._lock:
            self._serving = False
            self._work.notify_all()

    def close(self) -> None:
        """The worker is gone: frames pass it by until there is another.

        It may have died of what it was told, which is forgotten.
        """
        with self._lock:
            self._bypass = True
            for feed in self._feeds:
                feed.tasks.clear()
                self._forward(feed)
                feed.room.notify_all()

    def _tell(self, feed: Feed[R], task: Task) -> None:
        feed.tasks.append(task)
        self._work.notify()

    def _next(self, feed: Feed[R]) -> Task | Frame:
        if feed.tasks:
            return feed.tasks.popleft()
        feed.drop_late(1)
        frame = feed.frames.popleft()
        feed.room.notify_all()
        return frame

    def _forward(self, feed: Feed[R]) -> None:
        if not self._bypass:
            self._work.notify()
            return
        while feed.frames and feed.unencoded < MAX_UNENCODED:
            feed.unencoded += feed.receiver.unprocessed(feed.frames.popleft(), "restart")
