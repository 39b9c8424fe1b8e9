"""Metrics that several packages share; every other metric is defined in the package that counts it.

Names and labels are the interface to dashboards and alerts.
"""

import platform
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector

from .errors import ERROR_TYPES, ErrorType

LATENCY_BUCKETS_MS = (
    *(1, 2, 5, 10, 20, 33, 50, 100, 200, 500),
    *(1_000, 2_000, 5_000, 10_000, 30_000, 60_000),
)


class Metrics:
    """One container's registry, with its errors, its capacity and its versions."""

    def __init__(self, distribution: str, capacity: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._errors = Counter("byoc_errors", "Errors by type.", ["type"], registry=self.registry)
        for error_type in ERROR_TYPES:
            self._errors.labels(type=error_type)
        Gauge("byoc_capacity", "Sessions admitted at once.", registry=self.registry).set(capacity)
        Info("byoc_build", "Versions of this container.", registry=self.registry).info(
            {"version": version(distribution), "python": platform.python_version()}
        )
        ProcessCollector(registry=self.registry)

    def count_error(self, error_type: ErrorType) -> None:
        self._errors.labels(type=error_type).inc()


class FrameMetrics:
    """Frames through the model; a job counts as a frame. The arguments are the help texts."""

    def __init__(
        self, registry: CollectorRegistry, *, latency: str, frames_in: str, frames_out: str
    ) -> None:
        self.latency = Histogram(
            "byoc_frame_latency_ms", latency, buckets=LATENCY_BUCKETS_MS, registry=registry
        )
        self.frames_in = Counter("byoc_frames_in", frames_in, registry=registry)
        self.frames_out = Counter("byoc_frames_out", frames_out, registry=registry)
