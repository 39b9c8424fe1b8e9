"""What callers send to the routes of live video, and what they are answered."""

from typing import Literal

from pydantic import BaseModel

from ..livepeer.channels import Channels, Url
from ..livepeer.stream_params import Params

# Requests


class Start(BaseModel):
    """The addresses of the channels that the orchestrator has created."""

    gateway_request_id: str | None = None
    stream_id: str | None = None
    subscribe_url: Url
    publish_url: Url | None = None
    control_url: Url | None = None
    events_url: Url | None = None
    data_url: Url | None = None
    params: Params = {}

    @property
    def channels(self) -> Channels:
        return Channels(
            subscribe_url=self.subscribe_url,
            publish_url=self.publish_url,
            control_url=self.control_url,
            events_url=self.events_url,
            data_url=self.data_url,
        )


class LegacyStart(Start):
    """The same, but the output is required."""

    publish_url: Url


class RunnerStart(BaseModel):
    """Behind a live-runner proxy the container has the channels created, and answers where."""

    params: Params = {}


# Replies


class Started(BaseModel):
    """The addresses are those of the channels created for a caller behind a live-runner proxy."""

    session_id: str
    publish_url: str | None = None
    subscribe_url: str | None = None
    control_url: str | None = None
    events_url: str | None = None
    data_url: str | None = None


class Stopped(BaseModel):
    status: Literal["stopped"] = "stopped"


class Accepted(BaseModel):
    status: Literal["accepted"] = "accepted"


class SessionStatus(BaseModel):
    """Frames a second of the last 5 s, latency from the decoding of a frame to its encoding."""

    session_id: str
    state: Literal["streaming", "stopping"]
    fps_in: float
    fps_out: float
    latency_p50_ms: float
    latency_p99_ms: float
    frames_in: int
    frames_out: int
    frames_unprocessed: int
    frames_dropped: dict[str, int]


class AllStatus(BaseModel):
    sessions: list[SessionStatus]


class LegacyMessage(BaseModel):
    msg: str


class LegacyFailed(BaseModel):
    """An error of the legacy AI worker's route, but not behind a live-runner proxy."""

    detail: LegacyMessage
