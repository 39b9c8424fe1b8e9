"""What a load test has found: the JSON report, version 1, in which every figure has its definition.

`python -m load_test --schema` prints the JSON schema, with the definitions.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

type Verdict = Literal["met", "not met", "invalid"]
type Limit = Literal["memory", "capacity", "errors", "latency"]
type Outcome = Literal[
    "limit found", "no limit found", "not met", "unstable", "invalid", "unfinished"
]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Objectives(Part):
    """What a level has to meet."""

    limit_ms: float
    """A frame, or a job, is on time when its answer has come so long after its scheduled time."""
    on_time_share: float = 0.95
    """The least share on time, in every window of every session."""
    window_seconds: float = 10
    """How long a window is."""
    headroom: float = 0.1
    """The part that is kept free: of the memory always, of limit_ms in a confirmation."""
    errors: int = 0
    """So many errors are allowed in a level."""


class Percentile(Part):
    """The value that this share of all frames scheduled did not exceed."""

    ms: float | None
    """Null when it is not known, for the reason below. A frame that never came counts as later
    than any other."""
    reason: str | None = None
    """Why it is not known: with too few frames, not one miss would prove it with 99 % confidence
    (90 for p95, 459 for p99)."""


class Memory(Part):
    """The memory of the level, read 10 times a second where NVML tells it, else 2 times."""

    source: Literal["NVML", "NVML v1", "byoc_gpu_memory_bytes", "resident"]
    """Who tells it. NVML v1, and byoc_gpu_memory_bytes, count what the driver keeps as used.
    Resident: that of both processes, because there is no GPU."""
    idle_bytes: int
    """At level 0: the most that was used before the first session, after the warm-up."""
    peak_bytes: int
    """The most that was used during the level, with what was used when idle."""
    per_session_bytes: int
    """(peak_bytes - idle_bytes) / sessions, rounded up."""
    total_bytes: int | None
    """Of all devices that the container uses, or of this machine; null when it is not known."""
    reserved_bytes: int | None
    """What the driver keeps for itself; null when it is not told apart."""
    fits_bytes: int | None
    """total_bytes - reserved_bytes, or what --memory-gib says."""
    samples: int
    """How often it was read."""


class Processes(Part):
    """Both processes of the container, as its metrics tell."""

    main_cores: float | None
    """Processor seconds a second of the main process."""
    model_cores: float | None
    """The same of the model's process."""
    main_resident_bytes: int | None
    """The most memory of the main process, with what it shares."""
    model_resident_bytes: int | None
    """The same of the model's process."""


class Second(Part):
    """One second of a level."""

    second: int
    """From the begin of the first window."""
    on_time_share: float | None
    """Of the frames scheduled in it, in all sessions; null when there was none."""
    age_p50_ms: float | None
    """The median age of those that came."""
    age_max_ms: float | None
    """The highest age of those that came."""
    memory_bytes: int | None
    """The most memory that was used in it."""


class Frames(Part):
    """The frames, or jobs, whose scheduled time is in a window of the level."""

    limit_ms: float
    """What counted as on time: in a confirmation, less than in the objectives by the head-room."""
    scheduled: int
    """All of them, sent or not."""
    on_time: int
    """Those that came back within limit_ms of their scheduled time."""
    late: int
    """Those that came back later."""
    missing: int
    """Those that never came back: dropped, lost or never sent."""
    shares: list[float]
    """The lowest share on time of the windows of each session."""
    worst_share: float
    """The lowest of all: what counts."""
    worst_session: int
    """The session that had it, from 1 on."""
    age_p50: Percentile
    """Age: from the scheduled time of a frame or job until the last byte of its answer is here."""
    age_p95: Percentile
    age_p99: Percentile
    first_ms: float | None
    """The longest that a session took from the request that started it to its first answer; null
    when one had none."""
    foreign: int | None
    """Pictures that belong to another session: one fails the level. Null when it can't be seen."""
    repeated: int | None
    """Pictures that show no later frame than the one before them; null as above."""
    frozen_ms: float | None
    """The longest time in which no new frame was to be seen; null as above."""


class Health(Part):
    polls: int
    """How often /health was asked for, each time with the 3 s that orchestrators wait."""
    misses: list[str]
    """Each answer that was not 200 `{"status": "ok"}` in that time: when, and what came instead."""


class Level(Part):
    """So many sessions at once, for so long."""

    sessions: int
    """Sessions of live video, or callers of a batch container that have a job each."""
    confirmation: bool
    """Whether it was run to confirm a recommendation: for three times as long, with head-room."""
    seconds: float
    """How long the windows took together. What comes before, while sessions start, is no part."""
    verdict: Verdict
    """Whether the objectives were met; invalid when nothing can be said."""
    limit: Limit | None
    """The first of these that was not met: memory, the container's own capacity, errors,
    latency."""
    reasons: list[str]
    """In words, what was not met, or why the level is invalid."""
    frames: Frames
    refusals: int
    """Sessions or jobs that the container, or the orchestrator, refused for want of room."""
    errors: dict[str, int]
    """By type, from byoc_errors_total, without capacity; what callers met beside is `caller`."""
    restarts: int
    """How often the model's process was replaced."""
    health: Health
    generator_late_share: float
    """The share of the level in which the load test itself was late by a fifth of limit_ms."""
    memory: Memory | None
    """Null when it is not known; `notes` says why."""
    processes: Processes
    timeline: list[Second]


class Fit(Part):
    """A line through the memory of the levels: a guess, and never what is recommended."""

    label: Literal["extrapolated, not run"] = "extrapolated, not run"
    sessions: int
    """How many sessions would fit into the memory if each took as much as those that ran."""
    per_session_bytes: int
    """By how much each session has raised the memory, by least squares."""


class Report(Part):
    """The whole load test. It is written anew as each level ends."""

    version: Literal[1] = 1
    started: AwareDatetime
    """When the load test began."""
    command: str
    """How it was started."""
    target: str
    """What was tested."""
    sample: str
    """What each session sent."""
    age_by: Literal["counter", "time stamp", "answer"] | None = None
    """How an answer is known: by the counter that is drawn into the picture; by the picture's time
    stamp, because the model changes the counter; or it is the answer to a job."""
    objectives: Objectives
    most: int
    """The search goes no higher."""
    only: int | None = None
    """The only level that was asked for; null when the limit is searched."""
    device: str
    """The devices, or the machine, whose memory is measured."""
    levels: list[Level] = []
    """In the order in which they were run."""
    outcome: Outcome = "unfinished"
    """Limit found: the recommended level ran, a higher one did not meet the objectives. No limit
    found: up to `most`, every level met them. Not met: one session does not, or those that were
    asked for don't. Unstable: a level met them once, and not again. Invalid: nothing can be said
    beyond the highest level that is named. Unfinished: the load test was interrupted."""
    highest: int = 0
    """The highest level that met the objectives, 0 for none."""
    recommended: int | None = None
    """A level that ran for three times as long and met the objectives with head-room."""
    limit: Limit | None = None
    """What binds: why the lowest level above did not meet the objectives."""
    sentence: str = ""
    """The outcome, and why, in words."""
    advice: list[str] = []
    """What to set, and what to change for more sessions."""
    memory_fit: Fit | None = None
    """Null unless two levels or more have told their memory."""
    notes: list[str] = []
    """What could not be measured, and why."""
