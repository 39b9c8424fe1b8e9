"""Metrics of the model's process."""

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.process_collector import ProcessCollector


class WorkerMetrics:
    """`pid` is the process id of the model's process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pid = 0  # which no process has
        self.restarts = Counter(
            "byoc_worker_restarts", "Restarts of the model's process.", registry=registry
        )
        ProcessCollector("byoc_model", pid=lambda: self.pid, registry=registry)
