"""The results as Markdown tables."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

from .alone import JOBS, Ends, Exchange
from .peers import FRAME, GENERATED, Peer
from .rendering import Rendering
from .rounds import BEHAVIOURS, Health, Overhead, Results

MEGABYTE = 1_000_000


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits, whole from 100 on."""
    if math.isinf(value):
        return "none"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(ours: float, theirs: Iterable[float], best: Callable[[Iterable[float]], float]) -> str:
    """Ours to the best of theirs."""
    found = [value for value in theirs if value and not math.isinf(value)]
    return f"{number(ours / best(found))}x" if found and not math.isinf(ours) else "none"


def overhead_table(results: Results, peers: list[Peer]) -> str:
    columns = ["server", "small JSON, 1 caller: p50 / p99 ms", "8 callers: jobs/s"]
    columns += [f"{len(FRAME):,} bytes, 1 caller: p50 ms", "8 callers: jobs/s"]
    measured = [peer for peer in peers if results.overhead[peer.name]]
    medians = {peer.name: overhead_medians(results.overhead[peer.name]) for peer in measured}
    rows = [overhead_row(peer, medians[peer.name]) for peer in measured]
    others = [peer for peer in measured if peer.name != GENERATED]
    groups = {
        "best": others,
        "best with a process for the model": [p for p in others if p.isolated],
    }
    ours = medians[GENERATED]
    for name, group in groups.items():
        values = [medians[peer.name] for peer in group]
        row = [f"*{GENERATED}, to the {name}*"]
        p50 = ratio(ours.small_p50, [value.small_p50 for value in values], min)
        p99 = ratio(ours.small_p99, [value.small_p99 for value in values], min)
        row.append(f"{p50} / {p99}")
        row.append(ratio(ours.small_rate, [value.small_rate for value in values], max))
        row.append(ratio(ours.frame_p50, [value.frame_p50 for value in values], min))
        row.append(ratio(ours.frame_rate, [value.frame_rate for value in values], max))
        rows.append(row)
    return table(columns, rows)


def overhead_medians(rounds: list[Overhead]) -> Overhead:
    return Overhead(*map(statistics.median, zip(*rounds, strict=True)))


def overhead_row(peer: Peer, value: Overhead) -> list[str]:
    refused = f" ({number(value.refused)} refused)" if value.refused else ""
    return [
        peer.name,
        f"{number(value.small_p50)} / {number(value.small_p99)}",
        f"{number(value.small_rate)}{refused}",
        f"{number(value.frame_p50)}{'' if peer.raw else ' (base64)'}",
        number(value.frame_rate),
    ]


def health_table(results: Results) -> str:
    names = list(dict.fromkeys(name for name, _ in results.health))
    found = {key: health_summary(rounds) for key, rounds in results.health.items()}
    rows = [[name, *(health_cell(found[name, each]) for each in BEHAVIOURS)] for name in names]
    others = [name for name in names if not name.startswith(GENERATED)]
    for name in names:
        if name not in others:
            ratios = [
                health_ratios(found[name, each], [found[other, each] for other in others])
                for each in BEHAVIOURS
            ]
            rows.append([f"*{name}, to the best*", *ratios])
    head = ["server", *(f"{each}: p50 / p99 / max ms / failures" for each in BEHAVIOURS)]
    return table(head, rows)


def health_summary(rounds: list[Health]) -> Health:
    """Medians of the rounds; the worst poll, the failures and the polls of all of them."""
    p50, p99, worst, failures, polls = zip(*rounds, strict=True)
    return Health(
        statistics.median(p50), statistics.median(p99), max(worst), sum(failures), sum(polls)
    )


def health_cell(value: Health) -> str:
    times = " / ".join(map(number, (value.p50, value.p99, value.worst)))
    return f"{times} / {value.failures} of {value.polls:,}"


def health_ratios(ours: Health, others: list[Health]) -> str:
    pairs = zip(ours[:3], zip(*(other[:3] for other in others), strict=True), strict=True)
    return " / ".join(ratio(mine, theirs, min) for mine, theirs in pairs)


def own_table(ends: list[Ends], rendering: Rendering, exchange: Exchange) -> str:
    start, memory, idle, busy, _ = map(statistics.median, zip(*ends, strict=True))
    answered = min(each.answered for each in ends)
    moved, bare, least = exchange
    rows = [
        ["process start to the first 200 of /health", f"{number(start)} s"],
        ["idle memory of both processes (PSS)", f"{number(memory / MEGABYTE)} MB"],
        ["exit when idle", f"{number(idle)} s"],
        [f"exit with {JOBS} jobs of 1 s in hand, {answered} answered", f"{number(busy)} s"],
        [f"rendering all {rendering.combinations} combinations", f"{number(rendering.every)} s"],
        ["rendering one, by the command line", f"{number(rendering.one)} s"],
        ["... to an empty template", compared(rendering.one, rendering.empty, "s")],
        [f"{len(FRAME):,} bytes to the model's process and back", f"{number(moved)} us"],
        ["... to bare pipes and memory between two processes", compared(moved, bare, "us")],
        ["... to two copies and a pipe's round trip", compared(moved, least, "us")],
    ]
    return table(["the generated container, the template", "alone"], rows)


def compared(value: float, other: float, unit: str) -> str:
    return f"{value / other:.2f}x of {number(other)} {unit}"
