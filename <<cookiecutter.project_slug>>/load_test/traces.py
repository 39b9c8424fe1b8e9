"""What each session has recorded, and how much of it is on time, late and missing.

Times are seconds of one clock. For the pipeline batch, a frame is a job.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from .report import Frames, Percentile, Second

# This many samples without a miss prove the share with 99 % confidence: log(0.01) / log(share).
ENOUGH = {0.5: 7, 0.95: 90, 0.99: 459}


@dataclass
class Trace:
    """One session. `scheduled` has the time of each frame that was due, in order, whether or not it
    was sent. `arrived` has, by the frame's number, when it first came back.

    `foreign`, `repeated` and `frozen_seconds` are None if pictures can't be recognized. `refused`
    and `errors` have messages.
    """

    scheduled: list[float] = field(default_factory=list)
    arrived: dict[int, float] = field(default_factory=dict)
    first_seconds: float | None = None
    foreign: int | None = None
    repeated: int | None = None
    frozen_seconds: float | None = None
    refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def ages(self, begin: float, end: float) -> list[float]:
        """Ages of the frames scheduled from `begin` until before `end`; infinite if missing."""
        return self._ages(*self._numbers(begin, end))

    def share(self, begin: float, end: float, limit: float) -> float:
        """The share of a window's frames that are on time.

        A caller that waits for an answer before it sends again may have no new job in a window.
        Then the open job counts, so that a long stall shows. If nothing was ever due, it is 0.
        """
        first, last = self._numbers(begin, end)
        ages = self._ages(first if first < last else max(0, first - 1), last)
        return sum(age <= limit for age in ages) / len(ages) if ages else 0

    def _numbers(self, begin: float, end: float) -> tuple[int, int]:
        return bisect_left(self.scheduled, begin), bisect_left(self.scheduled, end)

    def _ages(self, first: int, last: int) -> list[float]:
        return [
            self.arrived.get(number, math.inf) - self.scheduled[number]
            for number in range(first, last)
        ]


def windows(begin: float, seconds: float, length: float) -> list[tuple[float, float]]:
    """Windows of equal length without gaps: as many as fit of at least `length`, or one."""
    count = max(1, math.floor(seconds / length + 1e-9))
    each = seconds / count
    return [(begin + n * each, begin + (n + 1) * each) for n in range(count)]


def percentile(ages: Sequence[float], share: float) -> Percentile:
    """`ages` in seconds, smallest first."""
    if len(ages) < ENOUGH[share]:
        return Percentile(ms=None, reason=f"{len(ages)} are too few, it takes {ENOUGH[share]}")
    value = ages[math.ceil(share * len(ages)) - 1]
    if value == math.inf:
        return Percentile(ms=None, reason=f"more than {100 * (1 - share):g} % never came")
    return Percentile(ms=milliseconds(value))


def measure(
    traces: Sequence[Trace], begin: float, seconds: float, length: float, limit: float
) -> Frames:
    """`length` is that of a window; it and `limit` are in seconds."""
    spans = windows(begin, seconds, length)
    ages = sorted(age for trace in traces for age in trace.ages(begin, spans[-1][1]))
    on_time = sum(age <= limit for age in ages)
    missing = ages.count(math.inf)
    shares = [min(trace.share(*span, limit) for span in spans) for trace in traces]
    worst = min(shares)
    firsts = [trace.first_seconds for trace in traces]
    foreign = [trace.foreign for trace in traces if trace.foreign is not None]
    repeated = [trace.repeated for trace in traces if trace.repeated is not None]
    frozen = [trace.frozen_seconds for trace in traces if trace.frozen_seconds is not None]
    return Frames(
        limit_ms=milliseconds(limit),
        scheduled=len(ages),
        on_time=on_time,
        late=len(ages) - on_time - missing,
        missing=missing,
        shares=shares,
        worst_share=worst,
        worst_session=1 + shares.index(worst),
        age_p50=percentile(ages, 0.5),
        age_p95=percentile(ages, 0.95),
        age_p99=percentile(ages, 0.99),
        first_ms=None if None in firsts else milliseconds(max(filter(None, firsts), default=0)),
        foreign=sum(foreign) if foreign else None,
        repeated=sum(repeated) if repeated else None,
        frozen_ms=milliseconds(max(frozen)) if frozen else None,
    )


def timeline(
    traces: Sequence[Trace],
    begin: float,
    seconds: float,
    limit: float,
    memory: Sequence[tuple[float, int]],
) -> list[Second]:
    """`memory` has the bytes in use at each moment."""
    rows = []
    for second in range(math.ceil(seconds)):
        start, end = begin + second, begin + min(second + 1, seconds)
        ages = sorted(age for trace in traces for age in trace.ages(start, end))
        came = [age for age in ages if age < math.inf]
        used = [bytes_ for moment, bytes_ in memory if start <= moment < end]
        share = sum(age <= limit for age in ages) / len(ages) if ages else None
        rows.append(
            Second(
                second=second,
                on_time_share=share if share is None else round(share, 4),
                age_p50_ms=milliseconds(came[(len(came) - 1) // 2]) if came else None,
                age_max_ms=milliseconds(came[-1]) if came else None,
                memory_bytes=max(used, default=None),
            )
        )
    return rows


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
