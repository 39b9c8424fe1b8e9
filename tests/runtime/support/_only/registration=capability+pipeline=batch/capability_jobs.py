"""Jobs of the callers of a capability, who come through its orchestrator."""

import json
from typing import Any

import httpx

from emulator.container import DEADLINE_SECONDS
from emulator.job_header import job_header
from harness import CAPABILITY
from orchestrator.server import OrchestratorServer
from registering import as_caller
from registrations import ask

RUN = "/process/request/run"
LAST_LINE = "data: [DONE]"
# A word of the orchestrator's own (byoc/job_orchestrator.go).
BALANCE = 'data: {"balance": '


def job(orchestrator: OrchestratorServer, do: str, **order: Any) -> httpx.Response:
    return ask(orchestrator, RUN, json={"do": do, **order})


def stream(orchestrator: OrchestratorServer, **order: Any) -> list[Any]:
    """The events up to the last line, after which callers hang up."""
    header, lines = job_header(CAPABILITY, "a-stream", DEADLINE_SECONDS), list[str]()
    url, body = f"{orchestrator.url}{RUN}", {"do": "stream", **order}
    with as_caller() as client, client.stream("POST", url, json=body, headers=header) as answer:
        if answer.status_code != 200:
            answer.read()
            answer.raise_for_status()
        for line in answer.iter_lines():
            if line == LAST_LINE:
                return [json.loads(it.removeprefix("data: ")) for it in lines]
            if line and not line.startswith(BALANCE):
                lines.append(line)
    raise AssertionError(f"no end after {lines}")
