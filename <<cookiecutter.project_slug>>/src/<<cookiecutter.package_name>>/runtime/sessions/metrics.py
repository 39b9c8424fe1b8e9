"""Metrics of sessions."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class SessionMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.active = Gauge("byoc_sessions_active", "Sessions open now.", registry=registry)
        self.ended = Counter(
            "byoc_sessions", "Sessions ended, by outcome.", ["outcome"], registry=registry
        )
