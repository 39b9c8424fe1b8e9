"""Models whose limits are known, for load tests to find, and a clip for them."""

import os
import time
from pathlib import Path

import av
import numpy as np

import memory
from my_model.runtime.interface.live import Params, Picture, Session
from streaming import pictures

# A frame takes so long, however fast the machine is. At RATE frames a second CAPACITY sessions take
# 0.9 s of the model's time in each second, and one more would take 1.35 s.
RATE, FRAME_SECONDS, CAPACITY = 5, 0.09, 2
SLOW = ("--limit-ms=2000", "--set=BYOC_MAX_LATENCY_SECONDS=1")
# Nothing is asked of the speed of the machine that runs the tests.
PATIENT = ("--limit-ms=60000", "--seconds=4", "--set=BYOC_MAX_LATENCY_SECONDS=60")


def sample(folder: Path) -> Path:
    """Ten seconds of video."""
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as writer:
        video = writer.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        for number, picture in enumerate(pictures(320, 180)[: 10 * RATE]):
            picture.pts = number
            picture.time_base = 1 / video.average_rate
            writer.mux(video.encode(picture))
        writer.mux(video.encode(None))
    return path


class Plain:
    MAX_PARALLEL = 1

    def __init__(self) -> None:
        self.last: dict[str, Picture] = {}
        self.served = 0

    def load(self, weights: Path) -> None:
        pass

    def open(self, session: Session) -> "Stream":
        self.enter()
        return Stream(self, session.id)

    def enter(self) -> None:
        """A session comes."""

    def leave(self) -> None:
        """A session goes."""

    def process(self, session: str, frame: Picture) -> Picture:
        return frame

    def close(self) -> None:
        pass


class Stream:
    def __init__(self, model: Plain, session: str) -> None:
        self._model = model
        self._session = session

    def update_params(self, params: Params) -> Params:
        return params

    def process_frame(self, frame: Picture, params: Params) -> Picture:
        self._model.served += 1
        return self._model.process(self._session, frame)

    def close(self) -> None:
        self._model.last.pop(self._session, None)
        self._model.leave()


class Slow(Plain):
    def process(self, session: str, frame: Picture) -> Picture:
        time.sleep(FRAME_SECONDS)
        return frame


class Smuggler(Plain):
    """Gives one session a picture of another one's, a single time."""

    smuggled = False

    def process(self, session: str, frame: Picture) -> Picture:
        others = [picture for name, picture in self.last.items() if name != session]
        self.last[session] = frame.copy()
        if others and self.served > 60 and not self.smuggled:
            self.smuggled = True
            return others[0]
        return frame


class Freezer(Plain):
    """Shows each picture for so many frames."""

    def process(self, session: str, frame: Picture) -> Picture:
        if self.served % 10 == 1 or session not in self.last:
            self.last[session] = frame.copy()
        return self.last[session]


class Crashing(Plain):
    """Every fiftieth frame ends the process: the warm-up has fewer."""

    def process(self, session: str, frame: Picture) -> Picture:
        if self.served == 50:
            os.abort()
        return frame


class Painter(Plain):
    """Paints each picture anew, so that no counter is left."""

    def process(self, session: str, frame: Picture) -> Picture:
        return np.roll(frame, frame.shape[0] // 2, axis=0)


class Hungry(Plain):
    """Takes memory for each session, as the stand-in for the driver reads it from a file."""

    sessions = 0

    def enter(self) -> None:
        self.sessions += 1
        memory.take(self.sessions)

    def leave(self) -> None:
        self.sessions -= 1
        memory.take(self.sessions)
