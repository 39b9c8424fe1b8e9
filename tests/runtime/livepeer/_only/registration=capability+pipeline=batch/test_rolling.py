"""A new container takes over from an old one under load, and no job that was accepted is lost."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from capability_jobs import job, stream
from emulator.container import eventually
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET
from registrations import is_known, known, run_registered

CALLERS = 4
SETTINGS = {"BYOC_CAPACITY": "8", "BYOC_DRAIN_SECONDS": "30", "CHAOS_PARALLEL": "4"}


class Load:
    """Callers without a pause: half of them for events."""

    def __init__(self, orchestrator: OrchestratorServer) -> None:
        self.outcomes = Counter[str]()
        self._orchestrator = orchestrator
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(CALLERS)
        ]

    def _run(self, number: int) -> None:
        while not self._done.is_set():
            try:
                outcome = "answered" if self._call(number) else "lost"
            except httpx.HTTPStatusError as error:
                # By the orchestrator, or by the container: nothing was accepted.
                outcome = "refused" if error.response.status_code == 503 else "lost"
                self._done.wait(0.02)
            except (httpx.HTTPError, AssertionError):
                outcome = "lost"
            with self._lock:
                self.outcomes[outcome] += 1

    def _call(self, number: int) -> bool:
        wait: dict[str, Any] = {"seconds": 0.05}
        if number % 2:
            return stream(self._orchestrator, values=[1, 2], then="wait", **wait) == [1, 2]
        answer = job(self._orchestrator, "wait", **wait)
        answer.raise_for_status()
        return bool(answer.json() == "waited")

    def wait_for_more(self) -> None:
        before = self.outcomes["answered"]
        eventually(lambda: self.outcomes["answered"] >= before + 2 * CALLERS, "answers")

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def test_no_accepted_job_is_lost(tmp_path: Path) -> None:
    """1. The new container takes the name. 2. The old one is drained and stopped; what it takes
    back is the name. 3. The new one takes it again within its interval.
    """
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registered(tmp_path / "old", orchestrator, **SETTINGS) as old,
        Load(orchestrator) as load,
    ):
        load.wait_for_more()
        token = known(orchestrator).token
        with run_registered(tmp_path / "new", orchestrator, **SETTINGS) as new:
            load.wait_for_more()
            assert old.stop() == 0
            eventually(lambda: is_known(orchestrator), "registered again")
            assert known(orchestrator).url == f"http://127.0.0.1:{new.port}"
            assert known(orchestrator).token == token
            load.wait_for_more()
            load.__exit__()
            assert new.metric("byoc_frames_out_total")
    assert load.outcomes["lost"] == 0
