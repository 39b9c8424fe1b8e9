"""The job port as orchestrators call it."""

from typing import Any

import pytest

from emulator.container import Container
from harness import CAPABILITY
from jobs import do


def error(answer: Any) -> dict[str, str | None]:
    """The error of an answer, of which the form is checked."""
    assert answer.headers["Content-Type"] == "application/json"
    assert "\n" not in answer.text
    assert set(answer.json()) == {"error"}
    found: dict[str, str | None] = answer.json()["error"]
    assert set(found) == {"type", "field", "message"}
    return found


@pytest.mark.parametrize("path", ["", "/", "/run", f"/{CAPABILITY}"])
def test_jobs_are_accepted_at_every_route(server: Container, path: str) -> None:
    answer = server.jobs.post(path, json={"do": "echo", "text": "ä"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"do": "echo", "text": "ä"}


def test_raw_bytes_go_in_and_out(server: Container) -> None:
    body = bytes(range(256)) * 4096
    headers = {"Content-Type": "application/octet-stream"}
    answer = server.jobs.post("/run", content=body, headers=headers)
    assert answer.content == body
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_an_empty_content_type_is_served(server: Container) -> None:
    """Orchestrators copy the caller's header and send it empty when there was none."""
    answer = server.jobs.post("/run", content=b"abc", headers={"Content-Type": ""})
    assert (answer.status_code, answer.content) == (200, b"abc")


def test_query_and_unknown_headers_change_nothing(server: Container) -> None:
    """Orchestrators drop both, so nothing may depend on them."""
    answer = server.jobs.post("/run?a=1", json={"do": "echo"}, headers={"Accept": "text/csv"})
    assert answer.json() == {"do": "echo"}


def test_bad_json_is_the_callers_mistake(server: Container) -> None:
    headers = {"Content-Type": "application/json"}
    answer = server.jobs.post("/run", content=b'{"do": ', headers=headers)
    assert answer.status_code == 422
    assert error(answer)["type"] == "bad_request"
    assert error(answer)["field"] == "body"


def test_the_models_refusal_reaches_the_caller(server: Container) -> None:
    answer = do(server, "refuse")
    assert answer.status_code == 422
    assert error(answer) == {
        "type": "bad_request",
        "field": "seconds",
        "message": "seconds: must be positive",
    }


def test_an_unknown_route_is_404(server: Container) -> None:
    before = server.errors("bad_request")
    answer = server.jobs.post("/nothing", json={})
    assert answer.status_code == 404
    assert error(answer)["type"] == "bad_request"
    assert server.errors("bad_request") == before + 1
    assert server.jobs.get("/run").status_code == 405


def test_openapi_describes_the_routes(server: Container) -> None:
    paths = server.jobs.get("/openapi.json").json()["paths"]
    assert {"/", "/run", f"/{CAPABILITY}", "/health"} == set(paths)


def test_health_is_the_same_on_both_ports(server: Container) -> None:
    for client in (server.jobs, server.ops):
        answer = client.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_sessions_and_requests_are_named_in_the_answer(server: Container) -> None:
    names = {"Livepeer-Session-Id": "session-1", "X-Request-Id": "request-1"}
    answer = server.jobs.post("/run", json={"do": "echo"}, headers=names)
    assert answer.headers["X-Session-Id"] == "session-1"
    assert answer.headers["X-Request-Id"] == "request-1"


def test_unfit_names_are_replaced(server: Container) -> None:
    for headers in ({}, {"X-Request-Id": "a b"}, {"X-Request-Id": 129 * "x"}):
        answer = server.jobs.post("/run", json={"do": "fail"}, headers=headers)
        assert answer.headers["X-Request-Id"].isalnum()
        assert len(answer.headers["X-Request-Id"]) == 32
