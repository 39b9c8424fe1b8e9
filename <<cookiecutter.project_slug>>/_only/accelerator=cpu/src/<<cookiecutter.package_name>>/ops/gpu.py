"""No GPU: this container was generated for the processor alone. The metrics keep their names."""

import os
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..settings import SettingsError


class GpuUnavailableError(SettingsError):
    """One line: why there is no GPU to work on."""


class GpuMemory(Collector):
    """Memory of no GPU: families without samples, never a made-up 0."""

    def __init__(
        self, *, on_error: Callable[[], None], environ: Mapping[str, str] = os.environ
    ) -> None:
        pass

    def collect(self) -> Iterator[Metric]:
        labels = ["gpu", "uuid"]
        yield GaugeMetricFamily(
            "byoc_gpu_memory_bytes",
            "Device memory in use, by all processes and the driver.",
            labels=labels,
        )
        yield GaugeMetricFamily(
            "byoc_gpu_memory_total_bytes", "Device memory in all.", labels=labels
        )

    async def refresh(self) -> None:
        pass


def require_gpu(environ: Mapping[str, str] = os.environ) -> None:
    """Raises GpuUnavailableError: the libraries for it are not in this container."""
    raise GpuUnavailableError(
        "BYOC_REQUIRE_GPU is set, but this container was generated without GPU support"
    )
