"""What a session reports of its frames: in, out and dropped, and how late they were."""

import threading
import time
from collections import Counter, deque
from typing import Any

from ..metrics import FrameMetrics
from ..worker.scheduler import DropReason
from .metrics import LossMetrics

WINDOW_SECONDS = 5
MAX_SAMPLES = 1200


class FrameStats:
    """Counts for one session and, in the metrics, for all of them; called by any thread."""

    def __init__(self, metrics: FrameMetrics, losses: LossMetrics) -> None:
        self.unprocessed = 0
        self._metrics = metrics
        self._losses = losses
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._in = self._out = 0
        self._dropped: Counter[str] = Counter()
        self._times_in: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._times_out: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._latencies: deque[float] = deque(maxlen=MAX_SAMPLES)

    def count_in(self) -> None:
        self._metrics.frames_in.inc()
        with self._lock:
            self._in += 1
            self._times_in.append(time.monotonic())

    def count_out(self, milliseconds: float) -> None:
        """`milliseconds` is the frame's latency."""
        self._metrics.frames_out.inc()
        self._metrics.latency.observe(milliseconds)
        with self._lock:
            self._out += 1
            self._times_out.append(time.monotonic())
            self._latencies.append(milliseconds)

    def count_unprocessed(self) -> None:
        self._losses.unprocessed.inc()
        with self._lock:
            self.unprocessed += 1

    def count_dropped(self, reason: DropReason) -> None:
        self._losses.dropped.labels(reason=reason).inc()
        with self._lock:
            self._dropped[reason] += 1

    def report(self) -> dict[str, Any]:
        """Frames a second of the last WINDOW_SECONDS, latency in ms, and totals."""
        with self._lock:
            latencies = sorted(self._latencies) or [0.0]
            return {
                "fps_in": self._rate(self._times_in),
                "fps_out": self._rate(self._times_out),
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
