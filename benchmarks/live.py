"""Live streams through a generated container, and through one written by hand with the SDK.

The model does nothing. The container has one core to itself, the streams' other end the rest.
"""

import json
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from harness import OPTIONS, TEMPLATE
from programs.environment import SDK
from programs.suites import inject

from .alone import family, wait_for
from .client import Call
from .peers import SERVERS, Peer, Server, UnavailableError, clean_environment, start
from .report import number, table

DEFAULTS = {option: choices[0] for option, choices in OPTIONS.items()}
SIZES = ("640x360", "1280x720")
MOST_STREAMS = 16
START_SECONDS = 30
MOST_SECONDS = 20
TICKS = os.sysconf("SC_CLK_TCK")

OURS = Peer(
    "generated (model isolated)",
    (SDK,),
    "python -m my_model",
    {
        "BYOC_HOST": "127.0.0.1",
        "BYOC_PORT": "{port}",
        "BYOC_OPS_PORT": "{ops_port}",
        "BYOC_CAPACITY": str(MOST_STREAMS),
        "BYOC_MODEL": f"{SERVERS}.passing:Model",
        "BYOC_VIDEO_ENCODER": "libx264",
    },
    pipeline="live-video-to-video",
)
BY_SDK = Peer(
    "the SDK's MediaOutput and MediaPublish",
    (),
    f"uvicorn --host 127.0.0.1 --port {{port}} {SERVERS}.by_sdk:app",
)


class Run(NamedTuple):
    """Frames sent and seen again, milliseconds between, core-seconds for a second of stream."""

    sent: int
    seen: int
    p50: float
    p99: float
    cores: float
    streams: list[dict[str, Any]]

    @property
    def complete(self) -> bool:
        return self.seen == self.sent


def viewers(
    server: Server, project: Path, streams: int, size: str, seconds: int, *kill: object
) -> subprocess.Popen[str]:
    """benchmarks.viewers, which prints what it has seen."""
    deep = project / "deep"
    inject("media", DEFAULTS, deep)
    paths = [TEMPLATE, project, deep]
    arguments = map(str, (server.port, streams, size, seconds, *kill))
    return subprocess.Popen(
        [project / ".venv" / "bin" / "python", "-m", "benchmarks.viewers", *arguments],
        env=clean_environment() | {"PYTHONPATH": ":".join(map(str, paths))},
        stdout=subprocess.PIPE,
        text=True,
    )


def play(
    server: Server, project: Path, streams: int, size: str, seconds: int, *kill: object
) -> list[dict[str, Any]]:
    with viewers(server, project, streams, size, seconds, *kill) as process:
        printed, _ = process.communicate(timeout=seconds + 60)
    found: list[dict[str, Any]] = json.loads(printed)
    return found


def measure(peer: Peer, project: Path, folder: Path, streams: int, size: str, seconds: int) -> Run:
    with start(peer, project / ".venv", folder) as server:
        ready(server)
        keep_to_one_core(server)
        before = cpu_seconds(server)
        found = play(server, project, streams, size, seconds)
        cores = (cpu_seconds(server) - before) / (streams * seconds)
    times = sorted(value for stream in found for value in stream["milliseconds"]) or [0.0]
    sent, seen = (sum(stream[key] for stream in found) for key in ("sent", "seen"))
    p99 = times[len(times) * 99 // 100]
    return Run(sent, seen, statistics.median(times), p99, cores, found)


def ready(server: Server) -> None:
    port = server.ops_port if server.peer.pipeline else server.port
    deadline = time.monotonic() + START_SECONDS
    while not server.ask(port, Call("/health", sign=b"ok")):
        if time.monotonic() > deadline or server.process.poll() is not None:
            raise UnavailableError("it does not answer")
        time.sleep(0.05)


def keep_to_one_core(server: Server) -> None:
    core = max(os.sched_getaffinity(0))
    for process in family(server.process.pid):
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def cpu_seconds(server: Server) -> float:
    """Of the container's processes, user and system."""
    total = 0
    for process in family(server.process.pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def sustained(peer: Peer, project: Path, folder: Path, size: str, seconds: int) -> int:
    """The most streams at once on one core of which no frame is lost."""
    most = 0
    for streams in range(1, MOST_STREAMS + 1):
        if not measure(peer, project, folder, streams, size, seconds).complete:
            break
        most = streams
    return most


def gap(project: Path, folder: Path, size: str, seconds: int) -> tuple[dict[str, Any], Any]:
    """What a stream sees of a kill -9 of the model's process, and the event that tells of it."""
    with start(OURS, project / ".venv", folder) as server:
        ready(server)
        worker = family(server.process.pid)[1]
        (found,) = play(server, project, 1, size, seconds, worker, seconds / 2, "SIGKILL")
    (event,) = [event for event in found["events"] if event["type"] == "recovered"]
    return found, event


def stop(project: Path, folder: Path, streams: int, size: str) -> tuple[float, int]:
    """Seconds from SIGTERM to the exit while streams run, and the exit code."""
    running = f"byoc_sessions_active {streams:.1f}".encode()
    with start(OURS, project / ".venv", folder) as server:
        ready(server)
        with viewers(server, project, streams, size, MOST_SECONDS) as process:
            wait_for(server, Call("/metrics", sign=running))
            time.sleep(2)
            begun = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(MOST_SECONDS)
            seconds = time.monotonic() - begun
            process.kill()
    return seconds, code


def run(folder: Path, project: Path, seconds: int) -> None:
    """Print the tables."""
    rows = []
    for size in SIZES:
        for peer in (OURS, BY_SDK):
            one = measure(peer, project, folder, 1, size, seconds)
            rows.append(
                (
                    size,
                    peer.name,
                    f"{one.sent} / {one.seen}",
                    f"{number(one.p50)} / {number(one.p99)}",
                    str(sustained(peer, project, folder, size, seconds)),
                    number(one.cores),
                )
            )
    print("\n## A live stream at 30 frames a second, on one core\n")
    columns = ["size", "server", "frames in / out", "added latency p50 / p99 ms"]
    columns += ["streams at once without a loss", "core-seconds for a second"]
    print(table(columns, rows))
    ends = []
    for size in SIZES:
        found, event = gap(project, folder, size, seconds)
        taken, code = stop(project, folder, 2, size)
        away = f"{event['gap_seconds']} s, {event['frames_unprocessed']} frames"
        frames = f"{found['sent']} / {found['seen']}"
        ends.append((size, away, frames, str(found["longest_pause"]), f"{number(taken)}, {code}"))
    print("\n## Ends\n")
    columns = ["size", "kill -9 of the model: away for", "frames in / out", "longest pause s"]
    columns += ["SIGTERM with 2 streams: seconds to the exit, code"]
    print(table(columns, ends))
