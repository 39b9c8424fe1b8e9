"""A new container takes over from an old one while streams run, and no frame is lost."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from emulator.container import DEADLINE_SECONDS, Container, eventually
from guests import Guest
from heartbeats import registered, runners
from orchestrator.server import run_orchestrator
from registering import SECRET, run_registering
from streaming import bunny, frames

SIZE = (160, 90)
FRAMES = 50
SPEED = 2
CLIPS = [bunny(size=SIZE, frames=FRAMES, first=n * FRAMES, audio=False) for n in range(2)]
SETTINGS: dict[str, Any] = {
    "BYOC_CAPACITY": "2",
    "BYOC_DRAIN_SECONDS": "30",
    "BYOC_MAX_LATENCY_SECONDS": "20",
}


def is_full(server: Container) -> bool:
    return server.metric("byoc_sessions_active") == 2


def test_no_frame_is_lost(tmp_path: Path) -> None:
    """1. Two stream on the old one. 2. The new one comes, the old one drains. 3. Two more come, to
    the new one. 4. The first two end, and with them the old one.
    """
    with (
        run_orchestrator(secret=SECRET, heartbeat_seconds=0.5) as orchestrator,
        run_registering(tmp_path / "old", orchestrator.url, **SETTINGS) as old,
        ThreadPoolExecutor() as pool,
        ExitStack() as stack,
    ):
        before = registered(orchestrator)
        guests = [stack.enter_context(Guest(old, orchestrator)) for _ in range(2)]
        for guest in guests:
            guest.open()
        streaming = [guest.publish(CLIPS[0], speed=SPEED) for guest in guests]
        assert is_full(old)

        new = stack.enter_context(run_registering(tmp_path / "new", orchestrator.url, **SETTINGS))
        registered(orchestrator, before)
        old.process.send_signal(signal.SIGTERM)
        eventually(lambda: old.events("admission closed"), "admission closed")
        guests += [stack.enter_context(Guest(new, orchestrator)) for _ in range(2)]
        for guest in guests[2:]:
            guest.open()
        assert is_full(old)
        assert is_full(new)
        streaming += [guest.publish(CLIPS[0], speed=SPEED) for guest in guests[2:]]

        def stream_on(guest: Guest) -> None:
            guest.publish(CLIPS[1], speed=SPEED).result(DEADLINE_SECONDS)
            guest.finish()

        for sent in streaming:
            sent.result(DEADLINE_SECONDS)
        for played in [pool.submit(stream_on, guest) for guest in guests]:
            played.result()
        assert old.wait_exit() == 0
        assert [len(frames(guest.output())) for guest in guests] == 4 * [2 * FRAMES]
        assert {guest.stopped()["reason"] for guest in guests} == {"input_ended"}
        (runner,) = runners(orchestrator)
        assert runner is not before
        assert new.stop() == 0
