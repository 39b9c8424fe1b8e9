"""What a session tells of itself: frames in, out and dropped, and how late they were."""

import threading
import time
from collections import Counter, deque
from typing import Any

from .engine.schedule import DropReason

WINDOW_SECONDS = 5
MAX_SAMPLES = 1200


class Stats:
    """Counted by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.unprocessed = self._in = self._out = 0
        self._dropped: Counter[str] = Counter()
        self._came: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._went: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._latencies: deque[float] = deque(maxlen=MAX_SAMPLES)

    def came(self) -> None:
        with self._lock:
            self._in += 1
            self._came.append(time.monotonic())

    def went(self, milliseconds: float) -> None:
        with self._lock:
            self._out += 1
            self._went.append(time.monotonic())
            self._latencies.append(milliseconds)

    def passed(self) -> None:
        with self._lock:
            self.unprocessed += 1

    def dropped(self, reason: DropReason) -> None:
        with self._lock:
            self._dropped[reason] += 1

    def report(self) -> dict[str, Any]:
        """Frames a second of the last WINDOW_SECONDS, latency in ms, and totals."""
        with self._lock:
            latencies = sorted(self._latencies) or [0.0]
            return {
                "fps_in": self._rate(self._came),
                "fps_out": self._rate(self._went),
                "latency_p50_ms": round(latencies[len(latencies) // 2], 1),
                "latency_p99_ms": round(latencies[len(latencies) * 99 // 100], 1),
                "frames_in": self._in,
                "frames_out": self._out,
                "frames_unprocessed": self.unprocessed,
                "frames_dropped": dict(self._dropped),
            }

    def _rate(self, times: deque[float]) -> float:
        now = time.monotonic()
        window = min(WINDOW_SECONDS, max(now - self._started, 1))
        return round(sum(now - moment <= window for moment in times) / window, 1)
