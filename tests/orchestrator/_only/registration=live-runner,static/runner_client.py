"""What containers and callers of live runners say to the stand-in for an orchestrator."""

from typing import Any

import httpx

from callee import Callee
from emulator.container import DEADLINE_SECONDS
from orchestrator.server import OrchestratorServer

SECRET = "orch-secret"
PUBLIC = "https://public.invalid"


class Client(httpx.Client):
    """Somebody who trusts any certificate; `register` is a container's first heartbeat."""

    def __init__(self, orchestrator: OrchestratorServer) -> None:
        super().__init__(verify=False, base_url=orchestrator.url, timeout=DEADLINE_SECONDS)

    def heartbeat(self, secret: str = SECRET, **fields: Any) -> httpx.Response:
        body = {"runner_url": "http://127.0.0.1:1", "app": "live/model"} | fields
        headers = {"Authorization": secret}
        return self.post("/runners/heartbeat", json=body, headers=headers)

    def register(self, **fields: Any) -> dict[str, Any]:
        answer = self.heartbeat(**fields)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def reserve(self, runner: str) -> dict[str, str]:
        answer = self.post(f"/apps/{runner}/session")
        assert answer.status_code == 200, answer.text
        session: dict[str, str] = answer.json()
        return session

    def discovered(self) -> list[dict[str, Any]]:
        (entry,) = self.get("/discovery").json()
        runners: list[dict[str, Any]] = entry.get("runners", [])
        return runners


def is_refused(answer: httpx.Response, status: int, message: str) -> bool:
    """In the words of go-livepeer: plain text, and a newline."""
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return (answer.status_code, answer.text) == (status, f"{message}\n")


def path(url: str) -> str:
    return url.removeprefix(PUBLIC)


def entry(container: Callee, **fields: Any) -> dict[str, Any]:
    known = {"label": "one", "runner_url": container.url, "health_url": "/health"}
    return {**known, "app": "live/model", **fields}
