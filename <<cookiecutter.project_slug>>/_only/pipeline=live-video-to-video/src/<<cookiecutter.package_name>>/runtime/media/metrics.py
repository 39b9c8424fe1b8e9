"""Metrics of frames that did not come out as the model made them."""

from prometheus_client import CollectorRegistry, Counter

from ..worker.scheduler import DROP_REASONS


class LossMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.dropped = Counter(
            "byoc_frames_dropped", "Frames dropped.", ["reason"], registry=registry
        )
        for reason in DROP_REASONS:
            self.dropped.labels(reason=reason)
        self.unprocessed = Counter(
            "byoc_frames_unprocessed",
            "Frames passed through without the model.",
            registry=registry,
        )
