"""The events that a session sends."""

import json
import time
from typing import Any

from ..errors import JobError
from ..interface.own_events import OwnEvent
from ..livepeer.publisher import Publisher
from .outbox import MessageOutbox
from .params import Recovery

QUEUE = "ai_stream_events"
HEARTBEAT_QUEUE = "stream_heartbeat"


class Events(MessageOutbox):
    """One JSON object a segment: gateways read nothing else (byoc/trickle.go)."""

    channel_name = "events"
    mime_type = "application/json"

    def emit_started(self, params: dict[str, Any]) -> None:
        self._emit("started", params=params)

    def emit_heartbeat(self, report: dict[str, Any]) -> None:
        self._emit("heartbeat", HEARTBEAT_QUEUE, **report)
        self._emit("status", state="streaming", **report)

    def emit_params_updated(self, params: dict[str, Any]) -> None:
        self._emit("params_updated", params=params)

    def emit_error(self, error: JobError) -> None:
        self._emit("error", error=error.details())

    def emit_recovered(self, recovery: Recovery) -> None:
        self._emit("recovered", **recovery._asdict())

    def emit_stopped(self, reason: str, report: dict[str, Any]) -> None:
        self._emit("stopped", reason=reason, **report)

    def relay(self, event: str) -> None:
        """Send an event of the model's own, which is JSON."""
        self.put(f'{{"queue_event_type": "{QUEUE}", "event": {event}}}')

    async def publish(self, channel: Publisher) -> None:
        while (message := await self.get()) is not None:
            if not await channel.publish(message.encode()):
                self._on_drop()

    def _emit(self, type: OwnEvent, queue: str = QUEUE, **fields: Any) -> None:
        event = {"type": type, "timestamp": int(1000 * time.time()), **fields}
        self.put(json.dumps({"queue_event_type": queue, "event": event}))
