"""Streams on the way that callers of a configured container have: as sessions that last."""

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from configured import QUICK, configure, discovered, entry, gone, open_sessions
from emulator.container import DEADLINE_SECONDS, POLL_SECONDS, StartContainer, eventually
from guests import Guest, reserve
from harness import run_server
from orchestrator.server import OrchestratorServer, run_orchestrator
from streaming import bunny, frames

SIZE, FRAMES = (160, 90), 25
CLIPS = [bunny(size=SIZE, frames=FRAMES, first=FRAMES * n, audio=False) for n in range(3)]
SETTINGS = {
    "BYOC_CAPACITY": "2",
    "BYOC_DRAIN_SECONDS": "60",
    "BYOC_MAX_LATENCY_SECONDS": "20",
}
FULL = "no capacity available for runner\n"


@pytest.fixture
def said() -> list[str]:
    """By the orchestrator."""
    return []


@pytest.fixture
def orchestrator(said: list[str]) -> Iterator[OrchestratorServer]:
    with run_orchestrator(report=said.append, **QUICK) as orchestrator:
        yield orchestrator


def send(guest: Guest, number: int) -> None:
    guest.publish(CLIPS[number], speed=5).result(DEADLINE_SECONDS)


def finish(guest: Guest, clips: int) -> None:
    """Its stream ends by itself, and all that was sent has come out."""
    guest.finish()
    assert guest.stopped()["reason"] == "input_ended"
    assert len(frames(guest.output())) == clips * FRAMES


@pytest.mark.parametrize("trouble", ["hold", "crash"])
def test_no_poll_is_missed(
    start_server: StartContainer,
    orchestrator: OrchestratorServer,
    said: list[str],
    tmp_path: Path,
    trouble: str,
) -> None:
    """One would end every session; while the model holds the interpreter lock for longer than a
    poll may take, or its process crashes, none is missed.
    """
    once = {"do": "once", "then": trouble, "seconds": POLL_SECONDS + 0.2}
    with start_server(**SETTINGS) as server:
        configure(orchestrator, entry(server, capacity=2))
        with Guest(server, orchestrator) as guest:
            guest.open({**once, "file": str(tmp_path / "once")})
            send(guest, 0)
            eventually(lambda: guest.status()["frames_out"] >= 20, "the model goes on")
            assert [line for line in said if "unavailable" in line or "released" in line] == []
            guest.finish()
            eventually(lambda: any("released" in line for line in said), "given back")


def test_streams_outlast_a_drain(
    start_server: StartContainer, orchestrator: OrchestratorServer, said: list[str]
) -> None:
    """1. The operator lowers the capacity. 2. Drain: the container refuses by itself, too, and is
    healthy until the last session has ended, so that none is released. 3. It stays for the
    poll that finds that it is not.
    """
    with start_server(**SETTINGS) as server:
        configure(orchestrator, entry(server, capacity=2))
        with Guest(server, orchestrator) as guest:
            guest.open({"do": "invert"})
            send(guest, 0)
            configure(orchestrator, entry(server, capacity=open_sessions(server)))
            full = reserve(orchestrator)
            assert (full.status_code, full.text) == (503, FULL)
            configure(orchestrator, entry(server, capacity=2))

            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: server.events("admission closed"), "admission closed")
            with Guest(server, orchestrator) as late:
                refused = late.start()
                late.leave()
            assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
            assert refused.headers["Retry-After"]
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(3 * QUICK["health_seconds"])
            assert [line for line in said if "unavailable" in line] == []
            send(guest, 1)
            finish(guest, 2)
        assert server.wait_exit() == 0
        assert discovered(orchestrator) == []


def test_nothing_is_lost_in_a_rolling_restart(
    orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """1. Two streams on the old one. 2. The operator adds the new container, and lowers the old
    one's capacity. 3. The old one drains, and two more come, to the new one. 4. All go on.
    """
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    with (
        run_server(folders[0], ready=True, arguments=None, **SETTINGS) as old,
        run_server(folders[1], ready=True, arguments=None, **SETTINGS) as new,
        ThreadPoolExecutor() as pool,
        ExitStack() as stack,
    ):
        configure(orchestrator, entry(old, capacity=4))
        guests = [stack.enter_context(Guest(old, orchestrator)) for _ in range(2)]
        for guest in guests:
            guest.open()
        sending = [pool.submit(send, guest, 0) for guest in guests]
        lowered = entry(old, capacity=open_sessions(old))
        configure(orchestrator, lowered, entry(new, label="new", capacity=2))
        old.process.send_signal(signal.SIGTERM)
        eventually(lambda: old.events("admission closed"), "admission closed")
        guests += [stack.enter_context(Guest(new, orchestrator)) for _ in range(2)]
        for guest in guests[2:]:
            guest.open()
        sending += [pool.submit(send, guest, 0) for guest in guests[2:]]
        for sent in sending:
            sent.result()

        def go_on(guest: Guest) -> None:
            send(guest, 1)
            send(guest, 2)
            finish(guest, 3)

        for played in [pool.submit(go_on, guest) for guest in guests]:
            played.result()
        assert old.wait_exit() == 0
        gone(orchestrator, 1)
