"""Traces whose truth is known, for every figure that is made of them: to 1 % of it."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from random import Random

import pytest

from load_test.report import Frames
from load_test.traces import ENOUGH, Trace, measure, percentile, timeline, windows

BEGIN = 1000.0  # the clock has run before
RATE = 30
SECONDS = 60
LENGTH = 10


def close(value: float) -> object:
    return pytest.approx(value, rel=0.01)


def due(seconds: float = SECONDS, rate: float = RATE, begin: float = BEGIN) -> list[float]:
    return [begin + number / rate for number in range(round(seconds * rate))]


def trace(ages: Iterable[float | None], times: list[float] | None = None) -> Trace:
    """A session whose frames have these ages; None never came."""
    times = due() if times is None else times
    came = enumerate(zip(times, ages, strict=False))
    return Trace(times, {n: moment + age for n, (moment, age) in came if age is not None}, 0.5)


def shuffled(quantile: Callable[[float], float], count: int = SECONDS * RATE) -> list[float]:
    """Ages of a law, by its inverse, evenly spread; in any order."""
    ages = [quantile((number + 0.5) / count) for number in range(count)]
    Random(1).shuffle(ages)
    return ages


def measured(*traces: Trace, limit: float = 0.5, seconds: float = SECONDS) -> Frames:
    return measure(traces, BEGIN, seconds, LENGTH, limit)


def ms(frames: Frames) -> list[float | None]:
    return [frames.age_p50.ms, frames.age_p95.ms, frames.age_p99.ms]


@pytest.mark.parametrize(
    ("quantile", "late"),
    [
        (lambda share: 0.6 * share, 1 - 0.5 / 0.6),  # uniform
        (lambda share: -0.2 * math.log(1 - share), math.exp(-0.5 / 0.2)),  # exponential
        (lambda share: 0.1 + 0.5 * share**2, 1 - 0.8**0.5),
        (lambda share: 0.5 * (0.05 / (1 - share)) ** 0.25, 0.05),  # a heavy tail
    ],
)
def test_ages_of_a_law(quantile: Callable[[float], float], late: float) -> None:
    frames = measured(trace(shuffled(quantile)), trace(shuffled(quantile)))
    assert ms(frames) == [close(1000 * quantile(share)) for share in (0.5, 0.95, 0.99)]
    assert frames.scheduled == 2 * SECONDS * RATE
    assert frames.on_time + frames.late == frames.scheduled
    assert frames.late / frames.scheduled == close(late)
    assert frames.missing == 0


def test_a_drift_shows_in_its_last_window() -> None:
    """Ages rise by 10 ms a second: after 50 s they are late."""
    frames = measured(trace(0.1 for _ in due()), trace(0.01 * n / RATE for n in range(1800)))
    assert frames.on_time / frames.scheduled == close((60 + 50) / 120)
    assert frames.shares == [1, close(1 / 300)]  # that of 50 s itself
    drift = measured(trace(0.008 * n / RATE for n in range(1800)), limit=0.44)
    assert (drift.worst_share, drift.age_p95.ms) == (close(0.5), close(456))


def test_the_worst_session_counts_and_not_the_mean() -> None:
    sessions = [trace(0.1 for _ in due()) for _ in range(20)]
    sessions[6] = trace(2.0 if 600 <= n < 630 else 0.1 for n in range(1800))
    frames = measured(*sessions)
    assert frames.on_time / frames.scheduled > 0.999
    assert (frames.worst_session, frames.worst_share) == (7, close(0.9))
    assert frames.shares == [1.0] * 6 + [frames.worst_share] + [1.0] * 13


def test_shares_are_not_rounded_to_what_was_asked_for() -> None:
    times = due(10, 4000)
    frames = measured(trace((2.0 if n < 2001 else 0.1 for n in range(40000)), times), seconds=10)
    assert 0.9499 < frames.worst_share < 0.95
    exact = measured(trace((2.0 if n < 2000 else 0.1 for n in range(40000)), times), seconds=10)
    assert exact.worst_share == 0.95


def test_missing_frames_are_late_and_later_than_any() -> None:
    """Every 25th was lost, and as many were never sent: a schedule has them all."""
    lost = [None if n % 25 == 0 else 0.001 * (n % 25) for n in range(1800)]
    frames = measured(trace(lost))
    assert (frames.missing, frames.late, frames.on_time) == (72, 0, 1728)
    assert frames.worst_share == close(0.96)
    assert (frames.age_p95.ms, frames.age_p50.ms) == (close(24), close(13))
    assert frames.age_p99.ms is None
    assert frames.age_p99.reason == "more than 1 % never came"


def test_a_session_that_ends_starves_the_windows_after_it() -> None:
    frames = measured(trace(0.1 for _ in range(900)))
    assert (frames.on_time, frames.missing, frames.worst_share) == (900, 900, 0)
    frames = measured(Trace(due()), Trace())
    assert (frames.shares, frames.scheduled, frames.missing) == ([0, 0], 1800, 1800)
    assert frames.first_ms is None


def test_a_frame_belongs_to_the_window_in_which_it_was_due() -> None:
    """However late it came; what was due before or after the level counts nowhere."""
    times = [BEGIN - 0.1, BEGIN, BEGIN + 9.999, BEGIN + 10, BEGIN + 19.999, BEGIN + 20]
    session = trace([9, 0.1, 5, 0.1, 0.1, 9], times)
    frames = measured(session, seconds=20)
    assert (frames.scheduled, frames.late, frames.worst_share) == (4, 1, 0.5)
    first, second = windows(BEGIN, 20, LENGTH)
    assert (session.share(*first, 0.5), session.share(*second, 0.5)) == (0.5, 1)


@pytest.mark.parametrize("seconds", [3, 9.99, 10, 10.1, 19.9, 20, 29, 30, 64.7, 0.1 * 300])
def test_windows_cover_the_level_without_a_gap(seconds: float) -> None:
    spans = windows(BEGIN, seconds, LENGTH)
    assert len(spans) == max(1, int(seconds + 1e-6) // LENGTH)
    assert spans[0][0] == BEGIN
    assert spans[-1][1] == pytest.approx(BEGIN + seconds)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    lengths = [end - begin for begin, end in spans]
    assert min(lengths) >= min(seconds, LENGTH) - 1e-6
    assert max(lengths) < 2 * LENGTH


def closed_loop(seconds: float, job: Callable[[float], float], start: float = 0) -> Trace:
    """A caller that sends its next job when it has the answer to its last."""
    session, now = Trace(first_seconds=job(0)), start
    while now < seconds:
        session.arrived[len(session.scheduled)] = BEGIN + now + job(now)
        session.scheduled.append(BEGIN + now)
        now += job(now)
    return session


def test_a_window_without_a_job_counts_the_one_that_was_open() -> None:
    long = closed_loop(60, lambda now: 25, start=-5)  # due at -5, 20 and 45 s
    assert measured(long, limit=30).worst_share == 1
    assert measured(long, limit=30).scheduled == 2
    assert measured(long, limit=20).worst_share == 0
    stalls = closed_loop(60, lambda now: 25.0 if 18 <= now < 19 else 0.05)
    spans = windows(BEGIN, SECONDS, LENGTH)
    assert [stalls.share(*span, 0.5) for span in spans] == [1, close(159 / 160), 0, 0, 1, 1]


def test_a_stall_shows_because_latency_counts_from_the_schedule() -> None:
    """A server that stalls 2 s every 20 s: of a tenth of all frames the age falls from 2 s to 0,
    so a hundredth is older than 1.8 s. Who waits to send meets two late frames a minute or three,
    and a p99 that shows nothing of it."""

    def answered(moment: float) -> float:
        into = (moment - BEGIN) % 20
        return moment + 0.02 + max(0.0, 2 - into if into < 2 else 0)

    times = due(600)
    schedule = trace([answered(moment) - moment for moment in times], times)
    p99 = measured(schedule, seconds=600).age_p99.ms
    assert p99 == pytest.approx(1820, rel=0.05)
    assert measured(schedule, seconds=600).worst_share == close(1 - 1.5 / 10)
    waits = closed_loop(600, lambda now: max(1 / RATE, answered(BEGIN + now) - BEGIN - now))
    by_sending = measured(waits, seconds=600).age_p99.ms
    assert p99 is not None
    assert by_sending is not None
    assert by_sending < p99 / 10


@pytest.mark.parametrize(("share", "enough"), ENOUGH.items())
def test_a_percentile_takes_enough_frames(share: float, enough: int) -> None:
    """So many that without one miss the share is known with 99 % confidence."""
    assert share**enough <= 0.01 < share ** (enough - 1)
    assert percentile([0.1] * enough, share).ms == 100
    few = percentile([0.1] * (enough - 1), share)
    assert (few.ms, few.reason) == (None, f"{enough - 1} are too few, it takes {enough}")
    for count in range(enough, 2000):  # the share of them, by the whole frame
        position = -(-round(100 * share) * count // 100)
        assert percentile([n / 1000 for n in range(1, count + 1)], share).ms == position


def test_what_pictures_show() -> None:
    sessions = [trace(0.1 for _ in due()) for _ in range(3)]
    blind = measured(*sessions)
    assert (blind.foreign, blind.repeated, blind.frozen_ms) == (None, None, None)
    for session, foreign, repeated, frozen in zip(
        sessions, (0, 1, 2), (5, 0, 7), (0.0, 1.25, 0.4), strict=True
    ):
        session.foreign, session.repeated, session.frozen_seconds = foreign, repeated, frozen
    seen = measured(*sessions)
    assert (seen.foreign, seen.repeated, seen.frozen_ms) == (3, 12, 1250)
    nothing = measured(Trace(due(), foreign=0, repeated=0, frozen_seconds=0.0))
    assert (nothing.foreign, nothing.repeated, nothing.frozen_ms) == (0, 0, 0)


def test_the_first_answer_is_that_of_the_slowest_session() -> None:
    sessions = [trace(0.1 for _ in due()) for _ in range(3)]
    sessions[1].first_seconds = 2.25
    assert measured(*sessions).first_ms == 2250
    sessions[2].first_seconds = None
    assert measured(*sessions).first_ms is None


def test_the_timeline_has_each_second() -> None:
    """Ages are 100 ms, in the second session 300 ms, and in its second 2 s nothing comes."""

    def slow() -> Iterator[float | None]:
        for n in range(round(3.5 * RATE)):
            yield None if n // RATE == 2 else 0.6 if n % 10 == 0 else 0.3

    sessions = [trace(0.1 for _ in due()), trace(slow())]
    sampled = [(BEGIN - 0.1, 99), *((BEGIN + n / 10, n % 10 + n // 10) for n in range(20))]
    rows = timeline(sessions, BEGIN, 3.5, 0.5, sampled)
    assert [row.second for row in rows] == [0, 1, 2, 3]
    assert [row.on_time_share for row in rows] == [0.95, 0.95, 0.5, close(28 / 30)]
    assert [row.age_p50_ms for row in rows] == [100, 100, 100, 100]
    assert [row.age_max_ms for row in rows] == [600, 600, 100, 600]
    assert [row.memory_bytes for row in rows] == [9, 10, None, None]
    nothing = timeline([Trace([BEGIN + 1])], BEGIN, 2, 0.5, [])
    assert [row.on_time_share for row in nothing] == [None, 0]
    assert [row.age_p50_ms for row in nothing] == [None, None]
