"""Starts your container for a test and watches it: as a process of this machine, or from an image.

An image runs hardened, as in production, but in this machine's own network, so that tests call both
at the same addresses.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

PACKAGE = "<<cookiecutter.package_name>>"
# The time limit of everything that must happen: long, because the machine may be busy.
DEADLINE_SECONDS = 300
# Pauses between two checks of a condition, in seconds: they grow.
FIRST_PAUSE, LONGEST_PAUSE, LONGER = 0.005, 0.05, 1.3
POLL_SECONDS = 3  # how long an orchestrator waits for one answer
HARDENED = (
    *("--read-only", "--tmpfs=/tmp:exec"),
    *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
)
WEIGHTS = Path("weights")
FREE_PORTS = {"BYOC_HOST": "127.0.0.1", "BYOC_PORT": "0", "BYOC_OPS_PORT": "0"}

# For every process started here, because starting NumPy's threads takes longer than most tests.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

type StartContainer = Callable[..., AbstractContextManager[Container]]


class StartError(Exception):
    """The container ended before it was ready."""

    def __init__(self, exit_code: int, log: str) -> None:
        super().__init__(f"exit code {exit_code}:\n{log}")
        self.exit_code = exit_code
        self.log = log


def eventually[T](get: Callable[[], T], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """Call `get` until it returns a true value, and return that. Fails at the deadline."""
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while not (value := get()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
        pause = min(LONGER * pause, LONGEST_PAUSE)
    return value


class Container:
    """`jobs` and `ops` are clients of the two ports; `pool` runs what a test does meanwhile."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path, name: str = "") -> None:
        self.process = process
        self.pool = ThreadPoolExecutor(32)
        self._log_file = log_file
        self.name = name
        eventually(lambda: self.events("listening") or process.poll() is not None, "listening")
        if not (ports := self.events("listening")):
            raise StartError(process.wait(), self.log())
        self.port: int = ports[0]["port"]
        self.jobs, self.ops = (
            # Without TLS certificates, because they are not needed and take a while to read.
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS, verify=False
            )
            for port in (self.port, ports[0]["ops_port"])
        )

    def log(self) -> str:
        return self._log_file.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines with this event."""
        lines = (line for line in self.log().splitlines(keepends=True) if line.startswith("{"))
        return [
            event
            for event in (json.loads(line) for line in lines if line.endswith("\n"))
            if event["event"] == name
        ]

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one sample, None if there is none."""
        for family in text_string_to_metric_families(self.ops.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    def errors(self, error_type: str) -> float:
        return self.metric("byoc_errors_total", type=error_type) or 0

    def worker(self) -> int:
        """The id of the last loaded model process, as the container's log gives it."""
        pid: int = self.events("model loaded")[-1]["pid"]
        return pid

    def signal_model(self, number: int = signal.SIGKILL) -> None:
        """By default SIGKILL, which the kernel sends when the machine is out of memory."""
        code = f"import os; os.kill({self.worker()}, {number:d})"
        within = ["docker", "exec", self.name, "python"] if self.name else [sys.executable]
        subprocess.run([*within, "-c", code], check=True, timeout=DEADLINE_SECONDS)

    def wait_ready(self) -> None:
        """Raises StartError if the container ends meanwhile, as for a model that can't load."""
        eventually(lambda: self._healthy() or self.process.poll() is not None, "healthy")
        if self.process.poll() is not None:
            raise StartError(self.process.returncode, self.log())

    def _healthy(self) -> bool:
        try:
            return self.ops.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; returns the exit code."""
        self.process.send_signal(number)
        return self.wait_exit()

    def wait_exit(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        self.pool.shutdown()
        self.jobs.close()
        self.ops.close()


@cache
def lacks_weights(image: str) -> bool:
    """Whether the image has no weights of its own, which a mounted folder would hide."""
    code = "import os, sys; sys.exit(any(os.scandir(os.environ['BYOC_WEIGHTS_DIR'])))"
    command = ["docker", "run", "--rm", "--entrypoint=python", image, "-c", code]
    return subprocess.run(command, timeout=DEADLINE_SECONDS, check=False).returncode == 0


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Ctrl-C waits for the block's end, because a process that is just starting would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python raises KeyboardInterrupt on the main thread alone.
        return
    pressed = threading.Event()
    usual = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if pressed.is_set():
            signal.raise_signal(signal.SIGINT)


@held_interrupts()
def kill(process: subprocess.Popen[bytes], name: str) -> None:
    if name:
        command = ["docker", "rm", "--force", name]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_SECONDS)
    process.kill()
    process.wait(DEADLINE_SECONDS)


def spawn(log_file: Path, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
    """Start a process with only these settings; its log goes to the file."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("BYOC_")}
    with log_file.open("wb") as log:
        return subprocess.Popen(command, env=inherited | environment, stderr=log)


@contextmanager
def run_container(
    folder: Path,
    *,
    image: str = "",
    ready: bool = True,
    command: list[str] | None = None,
    options: Sequence[str] = (),
    **environment: str,
) -> Iterator[Container]:
    """Run the container of this repository, or of the image, with its log in `folder`.

    `ready` waits until it is healthy. `command` is run instead if there is no image; `options` are
    passed to `docker run` if there is one. Raises StartError.
    """
    settings = FREE_PORTS | environment
    name = f"test-{uuid.uuid4().hex[:12]}" if image else ""
    command = command or [sys.executable, "-m", PACKAGE]
    if image:
        command = ["docker", "run", "--network=host", f"--name={name}", *HARDENED, *options]
        #% if cookiecutter.accelerator == "nvidia"
        command += ["--gpus=all"] if Path("/dev/nvidiactl").exists() else []
        #% endif
        if WEIGHTS.is_dir() and lacks_weights(image):
            command.append(f"--volume={WEIGHTS.resolve()}:/models:ro")
        # Without values, because they may be secrets and other users could read them.
        command += [f"--env={setting}" for setting in settings]
        command.append(image)
    log_file = folder / "container.log"
    with ExitStack() as ending:
        with held_interrupts():
            process = spawn(log_file, command, **settings)
            ending.callback(kill, process, name)
        container = Container(process, log_file, name)
        try:
            if ready:
                container.wait_ready()
            yield container
        finally:
            ending.close()
            container.close()


@contextmanager
def health_polls(container: Container) -> Iterator[list[float]]:
    """Poll `/health` without a pause: all must be ok within POLL_SECONDS. Yields their seconds."""
    seconds: list[float] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            started = time.perf_counter()
            answer = container.ops.get("/health", timeout=POLL_SECONDS)
            assert answer.json() == {"status": "ok"}, answer.text
            seconds.append(time.perf_counter() - started)
            done.wait(0.005)

    with ThreadPoolExecutor(1) as thread:
        polling = thread.submit(poll)
        try:
            yield seconds
        finally:
            done.set()
        polling.result()
