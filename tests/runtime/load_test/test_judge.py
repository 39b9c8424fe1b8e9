"""What is not met is told, each in a sentence, and the first of it is the limit."""

from typing import Any

import pytest

from load_test.judge import judge
from load_test.report import Frames, Health, Limit, Memory, Objectives, Verdict
from load_test.traces import Trace, measure
from reporting.words import percent, size
from simulated import GIB, OBJECTIVES, of_ages

QUIET = Health(polls=20, misses=[])


def frames(**changes: Any) -> Frames:
    return of_ages((0.1, 0.1, 0.1), 1, 0.5).model_copy(update=changes)


def memory(peak: float, fits: float | None = 30) -> Memory:
    return Memory(
        source="NVML",
        idle_bytes=0,
        peak_bytes=int(peak * GIB),
        per_session_bytes=0,
        total_bytes=None,
        reserved_bytes=None,
        fits_bytes=None if fits is None else int(fits * GIB),
        samples=1,
    )


def judged(**changes: Any) -> tuple[Verdict, Limit | None, list[str]]:
    given: dict[str, Any] = {
        "frames": frames(),
        "memory": memory(1),
        "refusals": 0,
        "errors": {},
        "restarts": 0,
        "health": QUIET,
        "generator_late_share": 0.0,
        "trouble": "",
        "objectives": OBJECTIVES,
        "unit": "frame",
    }
    return judge(**given | changes)


def test_a_level_that_meets_everything() -> None:
    assert judged() == ("met", None, [])
    assert judged(memory=None)[0] == "met"
    assert judged(memory=memory(1000, fits=None))[0] == "met"


@pytest.mark.parametrize(
    ("changes", "limit", "reason"),
    [
        (
            {"memory": memory(27.1)},
            "memory",
            "27.1 GiB of memory were used (allowed: 27 GiB; 30 GiB available, 10 % kept free)",
        ),
        ({"refusals": 2}, "capacity", "lack of capacity caused 2 refusals"),
        (
            {"errors": {"model_error": 2, "timeout": 1, "nvml": 0}},
            "errors",
            "3 errors occurred (model_error 2, timeout 1; allowed: 0)",
        ),
        ({"restarts": 1}, "errors", "the model's process was replaced 1 time"),
        (
            {"frames": frames(foreign=1)},
            "errors",
            "1 picture reached the wrong session",
        ),
        (
            {"health": Health(polls=20, misses=["at 7.0 s: no answer within 3 s"])},
            "errors",
            "1 of 20 polls of /health failed, the first one at 7.0 s: no answer within 3 s",
        ),
        (
            {"frames": frames(worst_share=0.912, worst_session=3)},
            "latency",
            "session 3 had 91.2 % of its frames on time in its worst window "
            "(objective: 95 % within 500 ms)",
        ),
        (
            {"frames": frames(worst_share=0.5, worst_session=2, limit_ms=450), "unit": "job"},
            "latency",
            "caller 2 had 50 % of its jobs on time in its worst window "
            "(objective: 95 % within 450 ms)",
        ),
    ],
)
def test_each_objective_alone(changes: dict[str, Any], limit: str, reason: str) -> None:
    assert judged(**changes) == ("not met", limit, [reason])


def test_out_of_memory_is_memory_and_an_error() -> None:
    verdict, limit, reasons = judged(memory=None, errors={"out_of_memory": 2})
    assert (verdict, limit) == ("not met", "memory")
    assert reasons == [
        "the model ran out of memory 2 times",
        "2 errors occurred (out_of_memory 2; allowed: 0)",
    ]


def test_the_first_limit_is_named_and_every_reason_is() -> None:
    everything = {
        "memory": memory(31),
        "refusals": 1,
        "errors": {"model_error": 1},
        "frames": frames(worst_share=0.1),
    }
    for limit, name in (
        ("memory", "memory"),
        ("errors", "errors"),
        ("capacity", "refusals"),
        ("latency", "frames"),
    ):
        verdict, found, reasons = judged(**everything)
        assert (verdict, found, len(reasons)) == ("not met", limit, len(everything))
        del everything[name]


def test_values_at_the_limit_meet_the_objectives() -> None:
    assert judged(memory=memory(27))[0] == "met"
    assert judged(frames=frames(worst_share=0.95))[0] == "met"
    assert judged(frames=frames(worst_share=0.94999))[0] == "not met"
    assert judged(generator_late_share=0.01)[0] == "met"
    allowed = Objectives(limit_ms=500, errors=2)
    assert judged(errors={"timeout": 2}, objectives=allowed)[0] == "met"
    assert judged(errors={"timeout": 3}, objectives=allowed)[0] == "not met"


def test_an_invalid_level_says_nothing_of_latency_and_memory() -> None:
    """What it measured of both is not the container's."""
    assert judged(generator_late_share=0.031, frames=frames(worst_share=0.1)) == (
        "invalid",
        None,
        ["the load test itself was late for 3.1 % of the level (allowed: 1 %)"],
    )
    trouble = "another process took 2 GiB of GPU 0 meanwhile"
    assert judged(trouble=trouble, memory=memory(31)) == ("invalid", None, [trouble])


@pytest.mark.parametrize(
    ("changes", "limit"), [({"refusals": 3}, "capacity"), ({"restarts": 1}, "errors")]
)
def test_no_trouble_explains_a_refusal_or_an_error(changes: dict[str, int], limit: str) -> None:
    assert judged(generator_late_share=0.5, **changes)[:2] == ("not met", limit)


def test_a_level_without_a_frame_says_nothing_of_latency() -> None:
    """As when a session was refused at the start, or a job takes longer than the level."""
    nothing = measure([Trace()], 0, 0, 10, 0.5)
    assert judged(frames=nothing, refusals=1) == (
        "not met",
        "capacity",
        ["lack of capacity caused 1 refusal"],
    )
    assert judged(frames=nothing, unit="job") == (
        "invalid",
        None,
        ["no job was due during the level (see --seconds)"],
    )


def test_figures_in_words() -> None:
    assert [percent(share) for share in (0, 0.009, 0.95, 0.94999, 0.912, 1)] == [
        "0 %", "0.9 %", "95 %", "94.9 %", "91.2 %", "100 %",
    ]  # fmt: skip
    assert [size(int(gib * GIB)) for gib in (0, 0.5, 1.9, 31.5)] == [
        "0 MiB", "512 MiB", "1.9 GiB", "31.5 GiB",
    ]  # fmt: skip
