"""A new container takes over from an old one under load, and no job that was accepted is lost."""

import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from emulator.container import eventually
from heartbeats import registered, runners
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, run_registering
from runner_client import Client

CALLERS = 4
SETTINGS: dict[str, Any] = {
    "BYOC_CAPACITY": "8",
    "BYOC_DRAIN_SECONDS": "30",
    "CHAOS_PARALLEL": "4",
}
# From the orchestrator, and from a container that it has not heard of yet: nothing was accepted.
REFUSALS = (404, 503)


class Load:
    """Callers that ask whom to call, and call, without a pause."""

    def __init__(self, orchestrator: OrchestratorServer) -> None:
        self.orchestrator = orchestrator
        self.done = threading.Event()
        self.outcomes = Counter[str]()
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        with Client(self.orchestrator) as client:
            while not self.done.is_set():
                outcome = self._call(client, streamed=number % 2 == 1)
                with self._lock:
                    self.outcomes[outcome] += 1

    def _call(self, client: Client, streamed: bool) -> str:
        """The process that has answered, or what became of the job."""
        found = client.discovered()
        if not found:
            return "refused"
        runner = max(found, key=lambda runner: runner["capacity_available"])
        order = {"do": "stream", "values": [1, 2], "then": "pid"} if streamed else {"do": "pid"}
        try:
            answer = client.post(f"{runner['url']}/run", json=order)
        except httpx.HTTPError as error:
            return f"lost: {error!r}"
        if answer.status_code in REFUSALS:
            return "refused"
        complete = answer.text.endswith("data: [DONE]\n\n") if streamed else answer.text.isdigit()
        if answer.status_code != 200 or not complete:
            return f"lost: {answer.status_code} {answer.text}"
        return "events" if streamed else answer.text


def test_nothing_is_lost(tmp_path: Path) -> None:
    """1. The old one works. 2. The new one is registered. 3. The old one drains and stops."""
    with (
        run_orchestrator(secret=SECRET, heartbeat_seconds=0.5) as orchestrator,
        ThreadPoolExecutor(CALLERS) as pool,
        run_registering(tmp_path / "old", orchestrator.url, **SETTINGS) as old,
    ):
        load = Load(orchestrator)
        before = registered(orchestrator)
        calling = [pool.submit(load.run, number) for number in range(CALLERS)]
        try:
            eventually(lambda: load.outcomes[str(old.worker())] >= 20, "the old one works")
            with run_registering(tmp_path / "new", orchestrator.url, **SETTINGS) as new:
                registered(orchestrator, before)
                eventually(lambda: load.outcomes[str(new.worker())] >= 20, "both work")
                old.process.send_signal(signal.SIGTERM)
                assert old.wait_exit() == 0
                served = load.outcomes[str(new.worker())]
                eventually(lambda: load.outcomes[str(new.worker())] >= served + 20, "alone")
                load.done.set()
                for caller in calling:
                    caller.result()
        finally:
            load.done.set()
        assert [outcome for outcome in load.outcomes if outcome.startswith("lost")] == []
        assert load.outcomes["events"] >= 20
        assert len(runners(orchestrator)) <= 1
