"""Streams of the callers of a capability, who come through its orchestrator."""

from typing import Any

import httpx

from emulator.container import Container
from orchestrator.server import OrchestratorServer
from registrations import ask
from streaming import Caller

# What its channels are called (byoc/stream_orchestrator.go).
SUFFIXES = {
    "subscribe_url": "",
    "publish_url": "-out",
    "control_url": "-control",
    "events_url": "-events",
    "data_url": "-data",
}
PARAMETERS = {
    "enable_video_ingress": True,
    "enable_video_egress": True,
    "enable_data_output": True,
}


class Viewer(Caller):
    """A caller who has the orchestrator make the channels, and start and stop the stream.

    `server` is the container that the stream is expected to come to.
    """

    def __init__(self, server: Container, orchestrator: OrchestratorServer, stream_id: str) -> None:
        self.orchestrator = orchestrator
        super().__init__(server, orchestrator.trickle, stream_id)

    def channel(self, key: str) -> str:
        return f"{self.id}{SUFFIXES[key]}"

    def start(self, params: Any = None, **changes: Any) -> httpx.Response:
        path, body = "/ai/stream/start", {"params": params, **changes}
        return ask(self.orchestrator, path, job=self.id, parameters=PARAMETERS, json=body)

    def update(self, params: dict[str, Any]) -> httpx.Response:
        request = {"stream_id": self.id}
        return ask(self.orchestrator, "/ai/stream/update", request=request, json=params)

    def stop(self, body: bytes = b"stream ended") -> httpx.Response:
        request = {"stream_id": self.id}
        return ask(self.orchestrator, "/ai/stream/stop", request=request, content=body)
