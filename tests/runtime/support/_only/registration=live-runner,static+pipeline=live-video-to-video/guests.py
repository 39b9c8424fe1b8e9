"""Whoever streams to a session that the orchestrator of a live runner has reserved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from emulator.container import DEADLINE_SECONDS, Container
from emulator.trickle import run_trickle_server
from orchestrator.server import OrchestratorServer
from runner_client import Client
from streaming import Caller

NAMES = {"subscribe_url": "in", "publish_url": "out"}


def reserve(orchestrator: OrchestratorServer) -> httpx.Response:
    """A session of the runner that has the most room, or a refusal."""
    with Client(orchestrator) as client:
        runner = max(client.discovered(), key=lambda runner: runner["capacity_available"])
        return client.post(runner["url"])


@contextmanager
def elsewhere(server: Container, orchestrator: OrchestratorServer) -> Iterator[Caller]:
    """Who has a session, but calls without the proxy, and has channels of its own."""
    session = reserve(orchestrator).json()["session_id"]
    url, headers = f"http://127.0.0.1:{server.port}", {"Livepeer-Session-Id": session}
    with (
        run_trickle_server() as trickle,
        httpx.Client(base_url=url, headers=headers, timeout=DEADLINE_SECONDS) as jobs,
        Caller(server, trickle, session, jobs) as caller,
    ):
        yield caller
    give_up(orchestrator, session)


def give_up(orchestrator: OrchestratorServer, session: str) -> None:
    """As whoever has reserved it may, where the orchestrator still knows of it."""
    for runner in orchestrator.registry.runners:
        with Client(orchestrator) as client:
            answer = client.post(f"/apps/{runner.route}/session/{session}/stop")
            assert answer.status_code == 204


class Guest(Caller):
    """A caller who comes through the orchestrator's proxy, which has the channels made."""

    def __init__(self, server: Container, orchestrator: OrchestratorServer) -> None:
        answer = reserve(orchestrator)
        assert answer.status_code == 200, answer.text
        session = answer.json()
        self.control_url = session["control_url"]
        app = httpx.Client(base_url=session["app_url"], verify=False, timeout=DEADLINE_SECONDS)
        super().__init__(server, orchestrator.trickle, session["session_id"], app)

    def channel(self, key: str) -> str:
        return f"{self.id}-{NAMES.get(key) or key.removesuffix('_url')}"

    def start(self, params: Any = None, **changes: Any) -> httpx.Response:
        """The answer names the channels from where the caller stands."""
        answer = self.jobs.post("/stream/start", json={"params": params, **changes})
        if answer.is_success:
            ours = {"publish_url": "subscribe_url", "subscribe_url": "publish_url"}
            told = {ours.get(key, key): url for key, url in answer.json().items()}
            assert told.pop("session_id") == self.id
            assert told == self.urls
        return answer

    def leave(self) -> None:
        """Give the session up, at the orchestrator."""
        assert self.jobs.post(f"{self.control_url}/stop").status_code == 204

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.jobs.close()
