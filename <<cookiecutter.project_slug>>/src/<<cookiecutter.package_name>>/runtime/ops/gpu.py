"""What the container knows of its GPUs, whether it has any or not."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..settings import SettingsError


class GpuUnavailableError(SettingsError):
    """One line: why there is no GPU to work on."""


class MemorySample(NamedTuple):
    """Of one device: its number as nvidia-smi shows it, its UUID, bytes used and in all."""

    gpu: str
    uuid: str
    used: int
    total: int


class Gpu(Collector):
    """The devices that this container may use, as a collector of metrics.

    `on_error` is called on the event loop once for each fault, and again only when it comes back.
    """

    def __init__(self, on_error: Callable[[], None]) -> None:
        self._on_error = on_error

    def collect(self) -> Iterator[Metric]:
        """A device that can't be read has no sample: never a made-up 0."""
        labels = ["gpu", "uuid"]
        used = GaugeMetricFamily(
            "byoc_gpu_memory_bytes",
            "Device memory in use, by all processes and the driver.",
            labels=labels,
        )
        total = GaugeMetricFamily(
            "byoc_gpu_memory_total_bytes", "Device memory in all.", labels=labels
        )
        for sample in self.samples():
            used.add_metric([sample.gpu, sample.uuid], sample.used)
            total.add_metric([sample.gpu, sample.uuid], sample.total)
        yield used
        yield total

    @abstractmethod
    def samples(self) -> Iterable[MemorySample]:
        """What the last `refresh` has read."""

    @abstractmethod
    async def refresh(self) -> None:
        """Read the devices; raises nothing."""

    # Not named `describe`, because prometheus_client calls the `describe` of a collector.
    @abstractmethod
    async def first_device(self) -> dict[str, Any] | None:
        """Its `id`, `name` and `vram_mb` (ai/runner/live_runner.go); None when no device can be
        read.
        """

    @staticmethod
    @abstractmethod
    def require(environ: Mapping[str, str]) -> None:
        """Raises GpuUnavailableError unless the container has a GPU that works."""
