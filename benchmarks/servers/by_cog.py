"""Cog's runners: one job at a time, or several in one event loop."""

# mypy: disable-error-code="import-not-found, misc"

from typing import Any

from benchmarks.servers.behaviour import act
from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, do: str, count: int = 0, frame: str = "") -> dict[str, Any]:
        return act({"do": do, "count": count, "frame": frame})


class AsyncRunner(BaseRunner):
    async def run(self, do: str, count: int = 0, frame: str = "") -> dict[str, Any]:
        return act({"do": do, "count": count, "frame": frame})
