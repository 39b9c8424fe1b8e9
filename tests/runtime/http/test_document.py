"""What the container answers is what its document says, whatever it is asked."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from emulator.container import Container, StartContainer
from harness import ANSWERS

TOKEN = "a-token-that-nobody-may-see"
LIVE = ANSWERS["pipeline"] == "live-video-to-video"
# Routes that take something, and how much is tried of each: 3,000 and more in all.
ROUTES = 4 if LIVE else 3
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", 3000 // ROUTES))
MOST_SECONDS = 3600
MODEL = "chaos:Chaos" if LIVE else "chaos:Echo"
# Refusals are 5xx, too: the container's own count tells them from failures. What a stream is called
# may be said in several places, of which no form tells that one is needed.
UNCHECKED = ["not_a_server_error", *(["positive_data_acceptance"] if LIVE else [])]
COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"


def statuses(value: Any) -> Counter[int]:
    """Of all answers in a report."""
    if isinstance(value, dict) and "status_code" in value:
        return Counter([value["status_code"]])
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(statuses, values), Counter[int]())


def test_the_document_is_true(start_server: StartContainer, tmp_path: Path) -> None:
    settings = {"BYOC_MODEL": MODEL, "BYOC_CAPACITY": "1024", "BYOC_AUTH_TOKEN": TOKEN}
    report = tmp_path / "report.ndjson"
    with start_server(**settings) as server:
        options = {
            "phases": "examples,coverage,fuzzing",
            "exclude-checks": ",".join(UNCHECKED),
            "header": f"Authorization: Bearer {TOKEN}",
            "max-examples": EXAMPLES,
            "seed": "1",
            "report-ndjson-path": str(report),
        }
        url = f"{server.jobs.base_url}/openapi.json"
        arguments = [f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "run", url, *arguments],
            env={
                **os.environ,
                "NOWHERE": f"{server.ops.base_url}/nowhere",
                "SCHEMATHESIS_HOOKS": "document_hooks",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MOST_SECONDS,
        )
        assert done.returncode == 0, done.stdout
        for error in ("internal", "model_error", "worker_crash", "out_of_memory"):
            assert server.errors(error) == 0
    seen = sum(map(statuses, map(json.loads, report.read_text().splitlines())), Counter[int]())
    print(dict(seen))
    assert seen.total() > ROUTES * EXAMPLES
    assert {200, 401, 405} <= set(seen)


def test_the_document_names_who_may_call(server: Container, start_server: StartContainer) -> None:
    """And every route has a body, answers and errors of its own."""
    with start_server(BYOC_AUTH_TOKEN=TOKEN) as guarded:
        documents = [each.jobs.get("/openapi.json").json() for each in (server, guarded)]
    expected: list[Any] = [[{"bearer": []}, {}], [{"bearer": []}]]
    for document, callers in zip(documents, expected, strict=True):
        schemes = document["components"]["securitySchemes"]
        assert schemes == {"bearer": {"type": "http", "scheme": "bearer"}}
        operations = {
            path: operation for path, of in document["paths"].items() for operation in of.values()
        }
        assert "security" not in operations.pop("/health")
        for path, operation in operations.items():
            assert operation["security"] == callers
            assert {"200", "400", "401", "431", "500"} <= set(operation["responses"])
            assert all(answer["content"] for answer in operation["responses"].values()), path
            reads = {"408", "413"} <= set(operation["responses"])
            assert reads == ("requestBody" in operation), path
