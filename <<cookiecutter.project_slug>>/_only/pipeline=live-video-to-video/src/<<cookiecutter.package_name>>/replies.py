"""What callers are answered."""

from typing import Literal

from pydantic import BaseModel


class Started(BaseModel):
    """The addresses are those of the channels made for a caller behind a live-runner proxy."""

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
    """What goes wrong at the door of the legacy AI worker, but not behind a live-runner proxy."""

    detail: LegacyMessage
