"""No GPU: this container was generated for the CPU alone. The metrics keep their names."""

from collections.abc import Iterable, Mapping
from typing import Any

from .gpu import Gpu, GpuUnavailableError, MemorySample


class NoGpu(Gpu):
    def samples(self) -> Iterable[MemorySample]:
        return ()

    async def refresh(self) -> None:
        pass

    async def first_device(self) -> dict[str, Any] | None:
        return None

    @staticmethod
    def require(environ: Mapping[str, str]) -> None:
        raise GpuUnavailableError(
            "BYOC_REQUIRE_GPU is set, but this container was generated without GPU support"
        )
