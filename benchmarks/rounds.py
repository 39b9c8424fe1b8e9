"""One server through all its measurements, and the rounds of all servers together."""

import math
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .client import LATE_SECONDS, measure
from .peers import GENERATED, OURS, PEERS, Environments, Server, UnavailableError, serve

CLIENTS = 8
SPIN_SECONDS = 0.05
BEHAVIOURS = ("wait", "spin", "hold")


class Length(NamedTuple):
    """Rounds, and seconds: of each measurement, and those after which no more are begun."""

    rounds: int
    overhead: float
    health: dict[str, float]
    limit: float


class Overhead(NamedTuple):
    """Milliseconds with one caller, answers a second with eight; refusals of the eight."""

    small_p50: float
    small_p99: float
    small_rate: float
    frame_p50: float
    frame_rate: float
    refused: int


class Health(NamedTuple):
    """Milliseconds of the polls of one round; a failure is later than a second or never."""

    p50: float
    p99: float
    worst: float
    failures: int
    polls: int


@dataclass
class Results:
    overhead: dict[str, list[Overhead]] = field(default_factory=lambda: defaultdict(list))
    health: dict[tuple[str, str], list[Health]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, str] = field(default_factory=dict)


def run_rounds(
    results: Results, environments: Environments, folder: Path, length: Length, end: float
) -> None:
    """Each round runs every server, a different one first; none starts if it would pass `end`."""
    spins = spins_in(SPIN_SECONDS)
    longest = 0.0
    for number in range(length.rounds):
        started = time.monotonic()
        if started + longest > end:
            results.skipped[f"round {number + 1} and later"] = "no time was left"
            break
        for peer in PEERS[number:] + PEERS[:number]:
            if peer.name in results.skipped:
                continue
            print(f"round {number + 1}: {peer.name}", file=sys.stderr, flush=True)
            try:
                with serve(peer, environments.path(peer), folder) as server:
                    run_one(server, length, spins, results)
            except UnavailableError as error:
                if peer is OURS:
                    raise
                results.skipped[peer.name] = str(error)
        longest = max(longest, time.monotonic() - started)


def run_one(server: Server, length: Length, spins: int, results: Results) -> None:
    results.overhead[server.peer.name].append(measure_overhead(server, length.overhead))
    for behaviour in BEHAVIOURS:
        seconds = length.health[behaviour]
        for name, health in measure_health(server, behaviour, seconds, spins).items():
            results.health[name, behaviour].append(health)


def measure_overhead(server: Server, seconds: float) -> Overhead:
    small, frame = server.peer.job("echo", count=1), server.peer.frame()
    measure(server.port, small, CLIENTS, seconds / 4, [])  # warm up
    one_small = measure(server.port, small, 1, seconds, []).answers
    many_small = measure(server.port, small, CLIENTS, seconds, []).answers
    one_frame = measure(server.port, frame, 1, seconds, []).answers
    many_frames = measure(server.port, frame, CLIENTS, seconds, []).answers
    return Overhead(
        1000 * percentile(one_small.seconds, 50),
        1000 * percentile(one_small.seconds, 99),
        len(many_small.seconds) / seconds,
        1000 * percentile(one_frame.seconds, 50),
        len(many_frames.seconds) / seconds,
        many_small.refused,
    )


def measure_health(server: Server, behaviour: str, seconds: float, spins: int) -> dict[str, Health]:
    job = server.peer.job(behaviour, count=spins)
    polls = measure(server.port, job, CLIENTS, seconds, server.health).polls
    names = [server.peer.name, f"{GENERATED}, asked on its job port"]
    return {
        name: Health(
            1000 * percentile(poll, 50),
            1000 * percentile(poll, 99),
            1000 * max(poll),
            sum(second > LATE_SECONDS for second in poll),
            len(poll),
        )
        for name, poll in zip(names, polls, strict=False)
    }


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed; infinite when there is none."""
    if not values:
        return math.inf
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def spins_in(seconds: float) -> int:
    """How many turns of an empty loop take that long here."""
    turns = 1_000_000
    took = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(turns):
            pass
        took.append(time.perf_counter() - started)
    return int(turns * seconds / statistics.median(took))
