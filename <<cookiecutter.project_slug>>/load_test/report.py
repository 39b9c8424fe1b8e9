"""What a load test has found: the JSON report, version 1, in which every figure has its definition.

`python -m load_test --schema` prints the JSON schema, with the definitions. In it a frame is a job
where the pipeline is batch.
"""

from typing import Literal

from pydantic import AwareDatetime

from reporting.parts import Part, means

type Verdict = Literal["met", "not met", "invalid"]
type Limit = Literal["memory", "errors", "capacity", "latency"]
type Outcome = Literal[
    "limit found", "no limit found", "not met", "unstable", "invalid", "unfinished"
]
type Source = Literal["NVML", "NVML v1", "byoc_gpu_memory_bytes", "resident"]


class Objectives(Part):
    """What a level has to meet."""

    limit_ms: float = means("A frame is on time if it is back so long after it was due.", gt=0)
    on_time_share: float = means("The least, in every window of every session.", 0.95, ge=0, le=1)
    window_seconds: float = means("How long a window is.", 10, gt=0)
    headroom: float = means(
        "What is kept free: of the memory always, of limit_ms in a confirmation.", 0.1, ge=0, lt=1
    )
    errors: int = means("So many are allowed in a level.", 0, ge=0)


class Percentile(Part):
    """What this share of all frames due did not exceed; one that never came exceeds all others."""

    ms: float | None = means("Null when it is not known.")
    reason: str | None = means(
        "Why it is not known: with fewer than 90 frames for p95, or 459 for p99, it would not be "
        "proved with 99 % confidence even if all were on time.",
        None,
    )


class Memory(Part):
    """The container's memory during the level, read 10 times a second from NVML, else 2 times."""

    source: Source = means(
        "Who tells it. All but NVML count as used what the driver keeps for itself. Resident: the "
        "memory of both processes, because there is no GPU."
    )
    idle_bytes: int = means("Level 0: the most in use without a session, after the warm-up.")
    peak_bytes: int = means("The most in use during the level, all in all.")
    per_session_bytes: int = means("(peak_bytes - idle_bytes) / sessions, rounded up.")
    total_bytes: int | None = means("Of all devices in use, or this machine; null if not known.")
    reserved_bytes: int | None = means("What the driver keeps for itself; null if not told apart.")
    fits_bytes: int | None = means("total_bytes - reserved_bytes, or what --memory-gib says.")
    samples: int = means("How often it was read.")


class Processes(Part):
    """Both processes of the container, as its metrics tell."""

    main_cores: float | None = means("Processor seconds a second of the main process.")
    model_cores: float | None = means("The same of the model's process.")
    main_resident_bytes: int | None = means("The most memory of the main process, shared included.")
    model_resident_bytes: int | None = means("The same of the model's process.")


class Second(Part):
    second: int = means("From the begin of the first window.")
    on_time_share: float | None = means("Of the frames due in it, in all sessions.")
    age_p50_ms: float | None = means("The median age of those that came.")
    age_max_ms: float | None = means("The highest age of those that came.")
    memory_bytes: int | None = means("The most in use.")


class Frames(Part):
    """The frames that were due in a window of the level, sent or not."""

    limit_ms: float = means("What counted as on time: less in a confirmation, by the head-room.")
    scheduled: int = means("All of them.")
    on_time: int = means("Those back within limit_ms of the time at which they were due.")
    late: int = means("Those that came back later.")
    missing: int = means("Those that never came back: dropped, lost or never sent.")
    shares: list[float] = means(
        "The lowest share on time of the windows of each session. Where a window has no job, the "
        "one that was still open counts in it, too."
    )
    worst_share: float = means("The lowest of all: what counts.")
    worst_session: int = means("The session that had it, from 1 on.")
    age_p50: Percentile = means("Age: from when a frame was due until its last byte is back.")
    age_p95: Percentile
    age_p99: Percentile
    first_ms: float | None = means(
        "The longest that a session took from its first request to its first answer; null if one "
        "had none."
    )
    foreign: int | None = means(
        "Pictures of another session: one fails the level. Null if they can't be told apart."
    )
    repeated: int | None = means("Pictures that show no new frame; null as above.")
    frozen_ms: float | None = means("The longest time without a new frame; null as above.")


class Health(Part):
    polls: int = means("How often /health was asked for, as orchestrators do: they wait for 3 s.")
    misses: list[str] = means('When it was not 200 {"status": "ok"} by then, and what it was.')


class Level(Part):
    """So many sessions at once, for so long."""

    sessions: int = means("Streams, or callers with one job at a time.")
    confirmation: bool = means("It confirms one: three times as long, with head-room.")
    seconds: float = means("The length of all windows, after all sessions have started.")
    verdict: Verdict = means("Whether the objectives were met; invalid: nothing can be said.")
    limit: Limit | None = means("The first of the four that was not met.")
    reasons: list[str] = means("What was not met, or why the level is invalid.")
    frames: Frames
    refusals: int = means("For want of room, by the container or the orchestrator.")
    errors: dict[str, int] = means(
        "By type, from byoc_errors_total without capacity; `caller`: what only callers met."
    )
    restarts: int = means("How often the model's process was replaced.")
    health: Health
    generator_late_share: float = means(
        "The share of the level in which the load test itself was late by a fifth of limit_ms."
    )
    memory: Memory | None = means("Null if it is not known; `notes` says why.")
    processes: Processes
    timeline: list[Second]


class Fit(Part):
    """A line through the memory of the levels: a guess, and never what is recommended."""

    label: Literal["extrapolated, not run"] = "extrapolated, not run"
    sessions: int = means("So many would fit, with head-room, if each took as much.")
    per_session_bytes: int = means("What each session has added, by least squares.")


class Report(Part):
    """The whole load test. It is written anew as each level ends."""

    version: Literal[1] = 1
    started: AwareDatetime
    target: str = means("What was tested.")
    sample: str = means("What each session sent.")
    age_by: Literal["counter", "time stamp", "answer"] | None = means(
        "How a frame is known again: by a counter drawn into the picture; by its time stamp, if "
        "the model changes the counter; or it is the answer to a job.",
        None,
    )
    objectives: Objectives
    most: int = means("The search goes no higher.", ge=1)
    only: int | None = means("The only level asked for; null: the limit is searched.", None)
    device: str = means("Whose memory is measured.", "")
    levels: list[Level] = means("In the order in which they ran.", [])
    outcome: Outcome = means(
        "Limit found: a level above the recommended one did not meet the objectives. No limit "
        "found: all met them. Not met: one session does not, or those asked for don't. Unstable: "
        "a level met them once, and not again. Invalid: nothing can be said of more sessions than "
        "the highest. Unfinished: levels are still to be run.",
        "unfinished",
    )
    highest: int = means("The highest level that met the objectives, 0 for none.", 0)
    recommended: int | None = means("A level that ran as a confirmation, and met them.", None)
    limit: Limit | None = means("What binds: why the lowest level above failed.", None)
    sentence: str = means("The outcome, and why, in words.", "")
    advice: list[str] = means("What to set, and what to change for more sessions.", [])
    memory_fit: Fit | None = means("Null unless two levels tell by how much memory rises.", None)
    notes: list[str] = means("What could not be measured, and why.", [])
