"""What an orchestrator is told of the GPU."""

from typing import Any


async def describe_gpu() -> dict[str, Any] | None:
    """There is none: this container was generated for the processor alone."""
    return None
