"""A real server in a process of its own, and the means to watch it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

PACKAGE = "<<cookiecutter.package_name>>"
CAPABILITY = "<<cookiecutter.capability_name>>"
DEADLINE_SECONDS = 30
POLL_SECONDS = 3  # how long an orchestrator waits for one answer
FEWEST_POLLS = 5  # on a slow machine; where health waits for the model there are one or two
# Between two looks at what is awaited, in seconds: longer and longer.
FIRST_PAUSE, LONGEST_PAUSE, LONGER = 0.005, 0.05, 1.3

# Inherited by every process started here: starting NumPy's threads takes longer than most tests.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def size(path: Path) -> int:
    """How many marks the chaos model has left there."""
    return path.stat().st_size if path.exists() else 0


def eventually[T](get: Callable[[], T], what: str = "") -> T:
    """The first true value of `get`, which is asked again and again until the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = FIRST_PAUSE
    while not (value := get()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what or get}"
        time.sleep(pause)
        pause = min(LONGER * pause, LONGEST_PAUSE)
    return value


type StartServer = Callable[..., AbstractContextManager[Server]]


class Server:
    """`jobs` and `ops` are clients of the two ports; `pool` is for what a test does meanwhile."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.process = process
        self._log_file = log_file
        self.pool = ThreadPoolExecutor(32)
        ports = eventually(lambda: self.events("listening") or process.poll() is not None)
        assert isinstance(ports, list), self.log()
        self.port: int = ports[0]["port"]
        self.jobs, self.ops = (
            # Reading the certificates of this machine, which are not needed, takes a while.
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS, verify=False
            )
            for port in (self.port, ports[0]["ops_port"])
        )

    def log(self) -> str:
        return self._log_file.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines with this event."""
        lines = (line for line in self.log().splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one sample, None when there is none."""
        for family in text_string_to_metric_families(self.ops.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    def errors(self, error_type: str) -> float:
        return self.metric("byoc_errors_total", type=error_type) or 0

    def worker(self) -> int:
        """The process id of the model's process that was loaded last."""
        pid: int = self.events("model loaded")[-1]["pid"]
        return pid

    def wait_ready(self) -> None:
        eventually(lambda: self.ops.get("/health").status_code == 200, "healthy")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait_exit()

    def wait_exit(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self.pool.shutdown()
        self.jobs.close()
        self.ops.close()


@contextmanager
def health_polls(server: Server) -> Iterator[list[float]]:
    """Ask for `/health` without a pause; each answer must be 200 `ok` within the poll's time."""
    seconds: list[float] = []
    failures: list[str] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            started = time.perf_counter()
            try:
                answer = server.ops.get("/health", timeout=POLL_SECONDS)
                if answer.json() != {"status": "ok"}:
                    failures.append(answer.text)
            except httpx.HTTPError as error:
                failures.append(repr(error))
            seconds.append(time.perf_counter() - started)
            done.wait(0.005)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seconds
    finally:
        done.set()
        thread.join(2 * POLL_SECONDS)
    assert not failures


def spawn(log_file: Path, arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parent)
    defaults = {
        "BYOC_HOST": "127.0.0.1",
        "BYOC_PORT": "0",
        "BYOC_OPS_PORT": "0",
        "BYOC_MODEL": "chaos:Chaos",
        "PYTHONPATH": tests,
    }
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("BYOC_")}
    with log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *arguments], env=inherited | defaults | environment, stderr=log
        )


@contextmanager
def run_server(
    folder: Path, *, ready: bool = True, arguments: list[str] | None = None, **environment: str
) -> Iterator[Server]:
    """The server in `folder`, which gets its log; `ready` waits until it is healthy."""
    log_file = folder / "server.log"
    process = spawn(log_file, arguments or ["-m", PACKAGE], **environment)
    try:
        server = Server(process, log_file)
    except BaseException:
        process.kill()
        raise
    try:
        if ready:
            server.wait_ready()
        yield server
    finally:
        server.close()


def refuse_to_start(folder: Path, **environment: str) -> tuple[int, str]:
    """The exit code and the words of a server that must not start."""
    log_file = folder / "server.log"
    process = spawn(log_file, ["-m", PACKAGE], **environment)
    try:
        return process.wait(DEADLINE_SECONDS), log_file.read_text()
    finally:
        process.kill()
