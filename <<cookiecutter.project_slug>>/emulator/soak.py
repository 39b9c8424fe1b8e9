"""Sends a sample again and again: memory must not grow, no file or thread may leak."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from .container import DEADLINE_SECONDS, Container, eventually, run_container

SENDERS = 2
WARM_UP_SECONDS = 60
SAMPLE_SECONDS = 1
MEGABYTE = 1024 * 1024
MAX_GROWTH = 1  # megabytes a minute
LEAST_MINUTES = 2


def memory(pid: int) -> int:
    """Its memory in bytes, with its share of shared memory, without mapped files."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size) for name, size, _ in map(str.split, lines)}
    return 1024 * (sizes["Pss_Anon:"] + sizes["Pss_Shmem:"])


def held(container: Container) -> dict[str, int]:
    """The threads and open files of both processes; we hold one connection to each port."""
    container.jobs.get("/health")
    container.ops.get("/health")
    found = {}
    for name, pid in (("main", container.process.pid), ("model", container.worker())):
        found[f"{name}, threads"] = len(list(Path(f"/proc/{pid}/task").iterdir()))
        found[f"{name}, files"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return found


def send(container: Container, sample: Path, seconds: float) -> list[tuple[float, float]]:
    """Send the sample again and again; returns minutes and megabytes, a pair for each second."""
    started = time.monotonic()
    failed = threading.Event()

    def repeat(number: int, folder: Path) -> None:
        program = [sys.executable, "-m", "emulator.<<cookiecutter.__sender>>"]
        result = folder / f"{number}{sample.suffix}"
        where = ["--url", f"http://127.0.0.1:{container.port}"]
        #% if cookiecutter.pipeline == "live-video-to-video"
        where += ["--id", f"soak-{number}"]
        #% endif
        try:
            while time.monotonic() < started + seconds and not failed.is_set():
                subprocess.run(
                    [*program, sample, result, *where], check=True, stdout=subprocess.DEVNULL
                )
        except BaseException:
            failed.set()
            raise

    samples = []
    with tempfile.TemporaryDirectory() as folder:
        sending = [container.pool.submit(repeat, n, Path(folder)) for n in range(SENDERS)]
        while not all(sender.done() for sender in sending):
            bytes_ = memory(container.process.pid) + memory(container.worker())
            samples.append(((time.monotonic() - started) / 60, bytes_ / MEGABYTE))
            failed.wait(SAMPLE_SECONDS)
        for sender in sending:
            sender.result(DEADLINE_SECONDS)
    eventually(lambda: container.metric("byoc_sessions_active") == 0, "sessions ended")
    return samples


def soak(container: Container, sample: Path, minutes: float) -> bool:
    """Whether nothing has grown or was left open."""
    print(f"warming up for {WARM_UP_SECONDS} s, then measuring for {minutes:g} minutes", flush=True)
    send(container, sample, WARM_UP_SECONDS)
    before = held(container)
    samples = send(container, sample, 60 * minutes)
    with suppress(AssertionError):
        eventually(lambda: held(container) == before, "nothing is left")
    after = held(container)
    growth = statistics.linear_regression(*zip(*samples, strict=True)).slope
    print(f"{'':16}{'before':>10}{'after':>10}")
    for name, number in before.items():
        print(f"{name:16}{number:10}{after[name]:10}")
    print(f"{'memory, MB':16}{samples[0][1]:10.1f}{samples[-1][1]:10.1f}{growth:+10.3f} a minute")
    if before != after:
        print("FAILED: threads or open files leak")
    if growth >= MAX_GROWTH:
        print(f"FAILED: memory grows by more than {MAX_GROWTH} MB a minute")
    return before == after and growth < MAX_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser("python -m emulator.soak", description=__doc__)
    parser.add_argument("sample", type=Path, help="the file to send")
    parser.add_argument("--minutes", type=float, default=5, help="minutes, after one to warm up")
    options = parser.parse_args()
    if options.minutes < LEAST_MINUTES:
        parser.error(f"--minutes: at least {LEAST_MINUTES}, because less shows no growth")
    if not options.sample.is_file():
        parser.error(f"{options.sample}: there is no such file")
    with (
        tempfile.TemporaryDirectory() as folder,
        run_container(Path(folder), BYOC_CAPACITY=str(SENDERS)) as container,
    ):
        return 0 if soak(container, options.sample, options.minutes) else 1


if __name__ == "__main__":
    sys.exit(main())
