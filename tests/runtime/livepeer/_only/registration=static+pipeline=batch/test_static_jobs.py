"""Jobs on the way that callers of a configured container have: through its orchestrator."""

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from configured import QUICK, configure, discovered, entry, gone, open_sessions
from emulator.container import POLL_SECONDS, Container, StartContainer, eventually
from harness import run_server, size
from orchestrator.server import OrchestratorServer, run_orchestrator
from runner_client import Client

CALLERS = 4
SETTINGS = {"BYOC_CAPACITY": "8", "BYOC_DRAIN_SECONDS": "30", "CHAOS_PARALLEL": "4"}
FULL = "no capacity available for runner\n"


@pytest.fixture
def said() -> list[str]:
    """By the orchestrator."""
    return []


@pytest.fixture
def orchestrator(said: list[str]) -> Iterator[OrchestratorServer]:
    with run_orchestrator(report=said.append, **QUICK) as orchestrator:
        yield orchestrator


def job(orchestrator: OrchestratorServer, do: str, **order: Any) -> httpx.Response:
    return ask(orchestrator, json={"do": do, **order})


def ask(orchestrator: OrchestratorServer, **options: Any) -> httpx.Response:
    """Of the runner that has the most room."""
    with Client(orchestrator) as client:
        runner = max(client.discovered(), key=lambda runner: runner["capacity_available"])
        return client.post(f"{runner['url']}/run", **options)


def test_jobs_go_in_and_out(start_server: StartContainer, orchestrator: OrchestratorServer) -> None:
    with start_server() as server:
        configure(orchestrator, entry(server))
        answer = job(orchestrator, "echo", text="ü")
        assert (answer.status_code, answer.json()) == (200, {"do": "echo", "text": "ü"})
        content = bytes(range(256)) * 10_000
        assert ask(orchestrator, content=content).content == content
        events = job(orchestrator, "stream", values=[1, 2])
        assert events.text == "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"
        refused = job(orchestrator, "refuse")
        assert (refused.status_code, refused.json()["error"]["type"]) == (422, "bad_request")
        assert refused.headers["Content-Type"] == "application/json"


def test_no_poll_is_missed(
    start_server: StartContainer, orchestrator: OrchestratorServer, said: list[str]
) -> None:
    """While the model holds the interpreter lock for longer than a poll may take, and while its
    process crashes and comes back.
    """
    with start_server() as server:
        configure(orchestrator, entry(server))
        assert job(orchestrator, "hold", seconds=POLL_SECONDS + 0.2).json() == "held"
        assert job(orchestrator, "crash").status_code == 503
        eventually(lambda: job(orchestrator, "echo").status_code == 200, "back")
        assert [line for line in said if "unavailable" in line] == []


def test_running_jobs_are_answered_in_a_drain(
    start_server: StartContainer, orchestrator: OrchestratorServer, tmp_path: Path, said: list[str]
) -> None:
    """1. The operator lowers the capacity. 2. Drain: the container refuses by itself, too, and is
    healthy until the last job is answered. 3. It stays for the poll that finds that it is not.
    """
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    with start_server(**SETTINGS) as server:
        configure(orchestrator, entry(server, capacity=8))
        jobs = [server.pool.submit(job, orchestrator, "wait_for_file", **order) for _ in range(2)]
        eventually(lambda: size(mark) == 2, "two jobs")
        configure(orchestrator, entry(server, capacity=open_sessions(server)))
        full = job(orchestrator, "echo")
        assert (full.status_code, full.text) == (503, FULL)
        configure(orchestrator, entry(server, capacity=8))

        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("admission closed"), "admission closed")
        refused = job(orchestrator, "echo")
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "capacity")
        assert refused.headers["Retry-After"]
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(3 * QUICK["health_seconds"])
        assert server.ops.get("/health").json() == {"status": "ok"}
        assert [line for line in said if "unavailable" in line] == []
        release.touch()
        assert [it.result().json() for it in jobs] == 2 * ["seen"]
        assert server.wait_exit() == 0
        assert discovered(orchestrator) == []


class Load:
    """Callers that ask whom to call, and call, without a pause; half of them for events."""

    def __init__(self, orchestrator: OrchestratorServer) -> None:
        self.outcomes = Counter[str]()
        self._orchestrator = orchestrator
        self._lock = threading.Lock()

    def _run(self, number: int, done: threading.Event) -> None:
        while not done.is_set():
            outcome = self._call(streamed=number % 2 == 1)
            with self._lock:
                self.outcomes[outcome] += 1

    def _call(self, streamed: bool) -> str:
        order = {"do": "stream", "values": [1, 2], "then": "pid"} if streamed else {"do": "pid"}
        try:
            answer = ask(self._orchestrator, json=order)
        except httpx.HTTPError:
            return "lost"
        if answer.status_code == 503:
            return "refused"
        complete = answer.text.endswith("data: [DONE]\n\n") if streamed else answer.text.isdigit()
        return "answered" if answer.status_code == 200 and complete else "lost"

    @contextmanager
    def running(self) -> Iterator[None]:
        done = threading.Event()
        threads = [threading.Thread(target=self._run, args=(n, done)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def wait_for_more(self) -> None:
        before = self.outcomes["answered"]
        eventually(lambda: self.outcomes["answered"] >= before + 5 * CALLERS, "answers")


def served(server: Container) -> bool:
    return bool(server.metric("byoc_frames_out_total"))


def test_nothing_is_lost_in_a_rolling_restart(
    orchestrator: OrchestratorServer, tmp_path: Path
) -> None:
    """1. The operator adds the new container, and lowers the old one's capacity. 2. The old one
    drains and stops.
    """
    load = Load(orchestrator)
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    with run_server(folders[0], ready=True, arguments=None, **SETTINGS) as old:
        configure(orchestrator, entry(old, capacity=8))
        with (
            run_server(folders[1], ready=True, arguments=None, **SETTINGS) as new,
            load.running(),
        ):
            load.wait_for_more()
            assert served(old)
            lowered = entry(old, capacity=open_sessions(old))
            configure(orchestrator, lowered, entry(new, label="new", capacity=8))
            eventually(lambda: served(new), "the new one works")
            assert old.stop() == 0
            gone(orchestrator, 1)
            load.wait_for_more()
    assert load.outcomes["lost"] == 0
