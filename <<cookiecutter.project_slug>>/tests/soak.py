"""Two sessions for minutes: memory must not grow, and nothing may be left. `--minutes 5`"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from harness import DEADLINE_SECONDS, Server, eventually, run_server
from resources import OBSERVED, holdings, memory, tasks
from standins.trickle import run_trickle_server
from streaming import Caller, bunny

SESSIONS = 2
SETTLING_SECONDS = 60
SAMPLE_SECONDS = 1
MEGABYTE = 1024 * 1024
MAX_GROWTH = 1  # megabytes a minute

type Holding = dict[str, int]


def held(server: Server) -> Holding:
    """By the main process and the model's; of our connections to it there is one to each port."""
    server.jobs.get("/health")
    server.ops.get("/health")
    found = {"tasks": tasks(server)}
    for name, pid in (("main", server.process.pid), ("model", server.worker())):
        found |= {f"{name} {key}": n for key, n in holdings(pid)._asdict().items()}
    return found


def stream(callers: list[Caller], seconds: float, samples: list[tuple[float, float]]) -> None:
    """The clip again and again, each time from the start, to its end after `seconds`."""
    server, clip = callers[0].server, bunny()
    done = threading.Event()

    def publish(caller: Caller) -> None:
        while not done.is_set():
            caller.control(b'{"keep": "alive"}')
            caller.publish(clip).result(DEADLINE_SECONDS)
        caller.finish()

    publishing = [server.pool.submit(publish, caller) for caller in callers]
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        samples.append((now / 60, sum(map(memory, (server.process.pid, server.worker())))))
        done.wait(SAMPLE_SECONDS)
    done.set()
    for future in publishing:
        future.result(DEADLINE_SECONDS)


def soak(server: Server, minutes: float) -> bool:
    """Whether all is well."""
    samples: list[tuple[float, float]] = []
    with run_trickle_server() as trickle, ExitStack() as stack:
        for name in ("warm", "soak"):
            numbers = range(SESSIONS)
            callers = [stack.enter_context(Caller(server, trickle, f"{name}-{n}")) for n in numbers]
            for caller in callers:
                caller.open({"do": "invert"})
            stream(callers, 1 if name == "warm" else 60 * minutes, samples)
            eventually(lambda: server.metric("byoc_sessions_active") == 0, "sessions ended")
            if name == "warm":
                before = held(server)
                samples.clear()
        ends = [caller.stopped() for caller in callers]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (after := held(server)) != before and time.monotonic() < deadline:
        time.sleep(SAMPLE_SECONDS)

    settled = [(x, y / MEGABYTE) for x, y in samples if 60 * x >= SETTLING_SECONDS]
    growth = statistics.linear_regression(*zip(*settled, strict=True)).slope
    print(f"{'':16}{'before':>10}{'after':>10}")
    for key, number in before.items():
        print(f"{key:16}{number:10}{after[key]:10}")
    print(f"{'memory, MB':16}{settled[0][1]:10.1f}{settled[-1][1]:10.1f}{growth:+10.3f} a minute")
    for end in ends:
        print({key: end[key] for key in ("frames_in", "frames_out", "frames_dropped")})
    return before == after and growth < MAX_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    minutes = parser.parse_args().minutes
    if 60 * minutes <= SETTLING_SECONDS + 10:
        parser.error("the first minute does not count: take more")
    with tempfile.TemporaryDirectory() as folder:
        settings = {"BYOC_CAPACITY": str(SESSIONS)}
        with run_server(Path(folder), ready=True, arguments=OBSERVED, **settings) as server:
            return 0 if soak(server, minutes) else 1


if __name__ == "__main__":
    sys.exit(main())
