"""What callers measure, on a simulated clock."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from statistics import quantiles

import pytest

from emulator.asking import CallError, RefusedError
from load_test.traces import Trace, measure
from load_test.traffic import Session

SERVICE_SECONDS = 0.0001
STALL_SECONDS, STALL_EVERY = 2, 20


class Clock(selectors.DefaultSelector):
    """Waits by moving its time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen"
        self.now += timeout
        return super().select(0)


def simulate(send: Callable[[], Awaitable[None]], *, every: float | None, seconds: float) -> Trace:
    """What one caller meets in so many simulated seconds."""
    clock = Clock()

    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return clock.now

    async def call() -> Trace:
        session = Session(send, every)
        asyncio.get_running_loop().call_later(seconds, session.end)
        await session.run()
        return session.trace

    with asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
        return runner.run(call())


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_stall_is_seen_in_full() -> None:
    """Jobs that were due while the server stalled are late, though they were not sent yet.

    Of STALL_EVERY seconds those due in the first STALL_SECONDS wait for their end, so that one in
    a hundred is older than STALL_SECONDS - STALL_EVERY / 100. By the times at which they were sent
    one job in each stall would be late, and no other.
    """
    taken = []

    async def send() -> None:
        sent = now()
        stalled = STALL_SECONDS - sent % STALL_EVERY
        await asyncio.sleep(max(0, stalled) + SERVICE_SECONDS)
        taken.append(now() - sent)

    seconds = 10 * STALL_EVERY
    trace = simulate(send, every=0.01, seconds=seconds)
    frames = measure([trace], 0, seconds, length=10, limit=0.1)
    formula = STALL_SECONDS - STALL_EVERY / 100
    assert frames.age_p99.ms == pytest.approx(1000 * formula, rel=0.05)
    by_sending = quantiles(taken, n=100)[-1]
    assert by_sending < formula / 10
    assert frames.missing == 0
    assert frames.scheduled == pytest.approx(100 * seconds, abs=1)


def test_in_turn_the_next_job_is_due_when_one_has_ended() -> None:
    async def send() -> None:
        await asyncio.sleep(0.5)

    trace = simulate(send, every=None, seconds=10)
    assert trace.scheduled == pytest.approx([0.5 * n for n in range(20)])
    assert [*trace.arrived.values()] == pytest.approx([0.5 * n for n in range(1, 21)])
    assert trace.first_seconds == 0.5


def test_at_a_rate_what_was_never_sent_is_missing() -> None:
    async def send() -> None:
        await asyncio.sleep(10)

    trace = simulate(send, every=1, seconds=35)
    assert trace.scheduled == [*range(40)]
    assert trace.arrived == {0: 10, 1: 20, 2: 30, 3: 40}


@pytest.mark.parametrize(
    ("error", "refused", "errors"),
    [(RefusedError("full"), ["full"] * 3, []), (CallError("broken"), [], ["broken"] * 3)],
)
def test_refusals_are_no_errors(error: CallError, refused: list[str], errors: list[str]) -> None:
    left = [error] * 3

    async def send() -> None:
        await asyncio.sleep(0.1)
        if left:
            raise left.pop()

    trace = simulate(send, every=None, seconds=5)
    assert (trace.refused, trace.errors) == (refused, errors)
    assert [*trace.arrived] == [*range(3, len(trace.scheduled))]
    assert len(trace.arrived) > 10
