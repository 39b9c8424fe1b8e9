"""Every metric of the container; names and labels are its interface to dashboards and alerts."""

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

from ..errors import ERROR_TYPES

DISTRIBUTION = "<<cookiecutter.project_slug>>"

#% if cookiecutter.pipeline == "live-video-to-video"
LATENCY = "Milliseconds from the decoding of a frame to its encoding."
FRAMES_IN = "Frames decoded."
FRAMES_OUT = "Frames encoded."
DROP_REASONS = ("late", "model", "failed", "restart", "timestamp")

#% else
LATENCY = "Milliseconds from a request's admission to the end of its answer."
FRAMES_IN = "Requests handed to the model."
FRAMES_OUT = "Requests answered by the model."

#% endif
LATENCY_BUCKETS_MS = (
    *(1, 2, 5, 10, 20, 33, 50, 100, 200, 500),
    *(1_000, 2_000, 5_000, 10_000, 30_000, 60_000),
)


class Metrics:
    """The metrics of one container in a registry of their own.

    `model_pid` is the process id of the model's process.
    """

    def __init__(self, *, capacity: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.model_pid = 0  # which no process has
        self.registry = CollectorRegistry()
        self.sessions_active = Gauge(
            "byoc_sessions_active", "Sessions open now.", registry=self.registry
        )
        self.sessions = Counter(
            "byoc_sessions", "Sessions ended, by outcome.", ["outcome"], registry=self.registry
        )
        self.frame_latency = Histogram(
            "byoc_frame_latency_ms", LATENCY, buckets=LATENCY_BUCKETS_MS, registry=self.registry
        )
        self.frames_in = Counter("byoc_frames_in", FRAMES_IN, registry=self.registry)
        self.frames_out = Counter("byoc_frames_out", FRAMES_OUT, registry=self.registry)
        #% if cookiecutter.pipeline == "live-video-to-video"
        self.frames_dropped = Counter(
            "byoc_frames_dropped", "Frames dropped.", ["reason"], registry=self.registry
        )
        for reason in DROP_REASONS:
            self.frames_dropped.labels(reason=reason)
        self.frames_unprocessed = Counter(
            "byoc_frames_unprocessed",
            "Frames passed through without the model.",
            registry=self.registry,
        )
        #% endif
        self.errors = Counter("byoc_errors", "Errors by type.", ["type"], registry=self.registry)
        for error_type in ERROR_TYPES:
            self.errors.labels(type=error_type)
        self.worker_restarts = Counter(
            "byoc_worker_restarts", "Restarts of the model's process.", registry=self.registry
        )
        #% if cookiecutter.registration != "static"
        self.registered = Gauge(
            "byoc_registered", "1 while the orchestrator confirms us.", registry=self.registry
        )
        self.registration_attempts = Counter(
            "byoc_registration_attempts",
            "Calls of the orchestrator, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("ok", "refused", "unreachable", "invalid", "internal"):
            self.registration_attempts.labels(outcome=outcome)
        self.registration_age = Gauge(
            "byoc_registration_age_seconds",
            "Seconds since the orchestrator's last answer without an error.",
            registry=self.registry,
        )
        #% endif
        Gauge("byoc_capacity", "Sessions admitted at once.", registry=self.registry).set(capacity)
        Info("byoc_build", "Versions of this container.", registry=self.registry).info(
            {"version": version(DISTRIBUTION), "python": platform.python_version()}
        )
        ProcessCollector(registry=self.registry)
        ProcessCollector("byoc_model", pid=lambda: self.model_pid, registry=self.registry)
