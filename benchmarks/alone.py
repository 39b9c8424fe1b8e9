"""How a generated container starts, rests and stops, with a model that costs nothing."""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from harness import TEMPLATE

from .client import Call
from .peers import OURS, Environments, Server, clean_environment, serve, start

EXIT_SECONDS = 20
POLL_SECONDS = 0.005
JOBS = 2
EXCHANGE_SECONDS = 2


class Ends(NamedTuple):
    """Seconds, and bytes of memory that the two processes have to themselves."""

    start: float
    memory: float
    idle_exit: float
    busy_exit: float
    answered: int


def observe(environments: Environments, folder: Path) -> Ends:
    environment = environments.path(OURS)
    started = time.monotonic()
    with start(OURS, environment, folder) as server:
        wait_for(server, Call("/health"))
        seconds = time.monotonic() - started
        time.sleep(1)
        used = sum(map(proportional_memory, family(server.process.pid)))
        idle = stop(server)
    with serve(OURS, environment, folder) as server, ThreadPoolExecutor(JOBS) as callers:
        hold = OURS.job("hold")
        jobs = [callers.submit(server.ask, server.port, hold, EXIT_SECONDS) for _ in range(JOBS)]
        wait_for(server, Call("/metrics", sign=f"byoc_sessions_active {JOBS:.1f}".encode()))
        busy = stop(server)
        answered = sum(job.result() for job in jobs)
    return Ends(seconds, used, idle, busy, answered)


def wait_for(server: Server, call: Call) -> None:
    """Ask the ops port again and again until the answer is right."""
    end = time.monotonic() + EXIT_SECONDS
    while not server.ask(server.ops_port, call):
        if time.monotonic() > end:
            raise TimeoutError(f"{call.path} does not say {call.sign!r}")
        time.sleep(POLL_SECONDS)


def stop(server: Server) -> float:
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    if code := server.process.wait(EXIT_SECONDS):
        raise ChildProcessError(f"the container ended with {code}")
    return time.monotonic() - started


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in family(int(child)))]


def proportional_memory(pid: int) -> int:
    """Memory shared with other processes counts in parts: /proc/<pid>/smaps_rollup, Pss in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class Exchange(NamedTuple):
    """Microseconds; see servers/exchange.py."""

    moved: float
    bare: float
    least: float


def exchange(environments: Environments) -> Exchange:
    python = environments.path(OURS) / "bin" / "python"
    printed = subprocess.run(
        [python, "-m", "benchmarks.servers.exchange", str(EXCHANGE_SECONDS)],
        env=clean_environment() | {"PYTHONPATH": str(TEMPLATE)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=EXIT_SECONDS,
        check=True,
    ).stdout
    return Exchange(*map(float, printed.split()))
