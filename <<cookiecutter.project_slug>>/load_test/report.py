"""The load test's JSON report, version 1, with the definition of every figure.

`python -m load_test --schema` prints the JSON schema with the definitions. For the pipeline batch,
a frame is a job.
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
    """The objectives that a level must meet."""

    limit_ms: float = means("Up to this age a frame is on time.", gt=0)
    on_time_share: float = means(
        "The least share on time, in every window of every session.", 0.95, ge=0, le=1
    )
    window_seconds: float = means("How long a window is.", 10, gt=0)
    headroom: float = means(
        "The share kept free: of the memory, and of limit_ms in a confirmation.", 0.1, ge=0, lt=1
    )
    errors: int = means("How many are allowed in a level.", 0, ge=0)


class Percentile(Part):
    """The age that this share of all due frames did not exceed; missing frames are the oldest."""

    ms: float | None = means("Null if it is not known.")
    reason: str | None = means(
        "Why it is not known. Fewer than 90 frames for p95, or 459 for p99, don't prove it with "
        "99 % confidence, even if all are on time.",
        None,
    )


class Memory(Part):
    """The container's memory during the level, read 10 times a second by NVML, else 2 times."""

    source: Source = means(
        "Where it was read. NVML v1 and byoc_gpu_memory_bytes include what the driver reserves. "
        "Resident: the memory of both processes, because there is no GPU."
    )
    idle_bytes: int = means("The most in use without a session, after the warm-up.")
    peak_bytes: int = means("The most in use during the level.")
    per_session_bytes: int = means("(peak_bytes - idle_bytes) / sessions, rounded up.")
    total_bytes: int | None = means("Of all devices in use, or this machine; null if not known.")
    reserved_bytes: int | None = means("What the driver reserves; null if not known.")
    fits_bytes: int | None = means("total_bytes - reserved_bytes, or what --memory-gib says.")
    samples: int = means("How often it was read.")


class Processes(Part):
    """Both processes of the container, according to its metrics."""

    main_cores: float | None = means("CPU seconds per second of the main process.")
    model_cores: float | None = means("CPU seconds per second of the model's process.")
    main_resident_bytes: int | None = means("The most memory of the main process, shared included.")
    model_resident_bytes: int | None = means("The most memory of the model's process.")


class Second(Part):
    second: int = means("Since the beginning of the first window.")
    on_time_share: float | None = means("Of the frames due in it, in all sessions.")
    age_p50_ms: float | None = means("The median age of those that came back.")
    age_max_ms: float | None = means("The highest age of those that came back.")
    memory_bytes: int | None = means("The most in use.")


class Frames(Part):
    """The frames that were due in a window of the level, sent or not."""

    limit_ms: float = means("The age up to which a frame was on time; lower in a confirmation.")
    scheduled: int = means("All of them.")
    on_time: int = means("Those that came back within limit_ms after they were due.")
    late: int = means("Those that came back later.")
    missing: int = means("Those that never came back: dropped, lost or never sent.")
    shares: list[float] = means(
        "The lowest share on time in a window, for each session. In a window without a new job the "
        "job that is still open counts."
    )
    worst_share: float = means("The lowest of all shares, which is judged.")
    worst_session: int = means("The session with the lowest share, from 1 on.")
    age_p50: Percentile = means("Age: from when a frame was due until its last byte was back.")
    age_p95: Percentile
    age_p99: Percentile
    first_ms: float | None = means(
        "The longest time of a session from its first request to its first answer; null if a "
        "session had no answer."
    )
    foreign: int | None = means(
        "Pictures of another session: one fails the level. Null if that can't be recognized."
    )
    repeated: int | None = means("Pictures without a new frame. Null if that can't be recognized.")
    frozen_ms: float | None = means("The longest time without a new frame; null like `foreign`.")


class Health(Part):
    polls: int = means("How often /health was polled, with a limit of 3 s, as orchestrators do.")
    misses: list[str] = means('Polls without 200 {"status": "ok"} in time: when, and what came.')


class Level(Part):
    """A number of sessions at once, for some time."""

    sessions: int = means("Streams, or callers with one job at a time.")
    confirmation: bool = means("Whether it confirms a level: three times as long, with headroom.")
    seconds: float = means("The length of all windows, after all sessions have started.")
    verdict: Verdict = means("Whether the objectives were met; invalid: that is not known.")
    limit: Limit | None = means("The first kind of objective that was not met.")
    reasons: list[str] = means("What was not met, or why the level is invalid.")
    frames: Frames
    refusals: int = means("By the container or the orchestrator, because it was full.")
    errors: dict[str, int] = means(
        "By type, from byoc_errors_total without capacity; `caller`: seen only by callers."
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
    sessions: int = means("How many would fit, with headroom.")
    per_session_bytes: int = means("The bytes that each session adds, by least squares.")


class Report(Part):
    """The whole load test. It is written again after each level."""

    version: Literal[1] = 1
    started: AwareDatetime
    target: str = means("What was tested.")
    sample: str = means("What each session sent.")
    age_by: Literal["counter", "time stamp", "answer"] | None = means(
        "How a frame is recognized: by a counter drawn into the picture; by its time stamp, if the "
        "model changes the counter; or as the answer to a job.",
        None,
    )
    objectives: Objectives
    most: int = means("The highest number of sessions that is tried.", ge=1)
    only: int | None = means("The only level asked for; null if the limit is searched for.", None)
    device: str = means("Whose memory is measured.", "")
    levels: list[Level] = means("In the order in which they ran.", [])
    outcome: Outcome = means(
        "Limit found: a level above the recommended one did not meet the objectives. No limit "
        "found: all levels met them. Not met: one session, or the number asked for, did not meet "
        "them. Unstable: a level met them once, but not again. Invalid: it is not known whether "
        "more sessions than the highest hold. Unfinished: more levels will run.",
        "unfinished",
    )
    highest: int = means("The highest level that met the objectives, 0 for none.", 0)
    recommended: int | None = means("A level that ran as a confirmation, and met them.", None)
    limit: Limit | None = means("Why the lowest level above the recommended one failed.", None)
    sentence: str = means("The outcome, and why, in words.", "")
    advice: list[str] = means("What to set, and what to change for more sessions.", [])
    memory_fit: Fit | None = means("Null if fewer than two levels show the growth of memory.", None)
    notes: list[str] = means("What could not be measured, and why.", [])
