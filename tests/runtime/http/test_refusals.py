"""Requests that no route serves are answered in one form on both ports, and counted."""

import json
import socket
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any, NamedTuple

import pytest

from emulator.container import DEADLINE_SECONDS, Container, StartContainer, eventually

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
TOKEN = "a-token-that-nobody-may-see"
HEALTH = "GET /health HTTP/1.1\r\nHost: a\r\n"
POST = "POST /nothing HTTP/1.1\r\nHost: a\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: h2c\r\n"
MANY = 2_000_000
OTHERS = (
    *("/", "/run", "/run/", "/stream", "/stream/start", "/stream/start/", "/live-video-to-video"),
    *("/docs", "/docs/oauth2-redirect", "/redoc", "/health/", "/livez", "/metrics", "/a%20b"),
    *("/openapi.json", "/%ff"),
)
NO_HTTP = {
    "words": "what is this?\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP 2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no such method": f"FETCH{HEALTH[3:]}\r\n",
    "a tunnel": "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "no path": "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path beyond ASCII": "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n",
    "a zero in a header": f"{HEALTH}A: b\0c\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a negative length": f"{POST}Content-Length: -1\r\n\r\n",
    "a length and chunks": f"{POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a body that the parser does not read": f"{POST}{UPGRADE}Content-Length: 2\r\n\r\nab",
}
TOO_LARGE = {
    "the path": f"GET /{MANY * 'a'} HTTP/1.1\r\nHost: a\r\n\r\n",
    "one header": f"{HEALTH}A: {MANY * 'a'}\r\n\r\n",
    "one header, just": f"{HEALTH}A: {66_000 * 'a'}\r\n\r\n",
    "all headers": f"{HEALTH}{MANY // 10 * 'Aa: bbbb\r\n'}\r\n",
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool


def connect(server: Container, port: str) -> socket.socket:
    url = {"jobs": server.jobs, "ops": server.ops}[port].base_url
    return socket.create_connection((url.host, url.port or 0), DEADLINE_SECONDS)


def read(connection: socket.socket, *, closing: bool = True) -> Answer:
    """One answer, and whether the connection is closed behind it, where it is awaited."""
    answer = HTTPResponse(connection)
    answer.begin()
    body, closed = answer.read(), False
    with suppress(ConnectionResetError):
        closed = closing and not connection.recv(1)
    return Answer(answer.status, dict(answer.headers), body, closed)


def ask(server: Container, port: str, request: str) -> Answer:
    """Send the request unchanged; the server may close the connection before its end."""
    with connect(server, port) as connection:
        with suppress(ConnectionError):
            connection.sendall(request.encode("latin-1"))
        return read(connection)


def error(body: bytes) -> Any:
    """The error in an answer, of which the form is checked."""
    assert b"\n" not in body
    found = json.loads(body)
    assert set(found) == {"error"}
    assert set(found["error"]) == {"type", "field", "message"}
    return found["error"]


@pytest.mark.parametrize("port", ["jobs", "ops"])
@pytest.mark.parametrize("request_", NO_HTTP.values(), ids=NO_HTTP)
def test_no_http_is_400(server: Container, port: str, request_: str) -> None:
    before = server.errors("bad_request")
    answer = ask(server, port, request_)
    assert (answer.status, answer.closed) == (400, True)
    assert answer.headers["content-type"] == "application/json"
    assert error(answer.body)["type"] == "bad_request"
    assert server.errors("bad_request") >= before + 1


@pytest.mark.parametrize("port", ["jobs", "ops"])
@pytest.mark.parametrize("request_", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_that_is_too_large_is_431(server: Container, port: str, request_: str) -> None:
    before = server.errors("bad_request")
    answer = ask(server, port, request_)
    assert answer.status == 431
    assert error(answer.body)["message"] == "the head of the request is larger than 65536 bytes"
    assert server.errors("bad_request") == before + 1


def test_a_large_head_is_read(server: Container) -> None:
    """As orchestrators pass them on; and each request has a head of its own."""
    for _ in range(3):
        assert server.jobs.get("/health", headers={"A": 60_000 * "a"}).status_code == 200


def test_what_was_asked_before_is_answered_first(server: Container) -> None:
    with connect(server, "jobs") as connection:
        connection.sendall(f"{HEALTH}\r\nwhat is this?\r\n\r\n".encode())
        answer = read(connection)
    assert (answer.status, json.loads(answer.body), answer.closed) == (200, {"status": "ok"}, True)


def test_an_upgrade_is_declined(server: Container) -> None:
    """Some clients offer HTTP/2 with each request; the connection is not used again."""
    answer = ask(server, "jobs", f"{HEALTH}{UPGRADE}\r\n")
    assert (answer.status, json.loads(answer.body), answer.closed) == (200, {"status": "ok"}, True)


def test_chunks_that_are_none_end_the_request(server: Container) -> None:
    before = server.errors("bad_request")
    routes = server.jobs.get("/openapi.json").json()["paths"]
    path = "/run" if "/run" in routes else "/stream/start"
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunks in ("no number\r\n", "3\r\nabc\r\nno number\r\n"):
        answer = ask(server, "jobs", head + chunks)
        assert (answer.status, answer.closed) == (400, True)
        assert error(answer.body)["type"] == "bad_request"
    assert server.errors("bad_request") == before + 2
    eventually(lambda: server.metric("byoc_sessions_active") == 0, "no session open")


def test_other_methods_are_405(server: Container) -> None:
    """Of every route that the document has, and of the routes of the ops port."""
    paths = server.jobs.get("/openapi.json").json()["paths"]
    served = {("jobs", path): {name.upper() for name in of} for path, of in paths.items()}
    reading = {"GET", "HEAD"}
    served[("jobs", "/openapi.json")] = reading
    served |= {("ops", path): reading for path in ("/health", "/livez", "/metrics")}
    for (port, path), methods in served.items():
        client = {"jobs": server.jobs, "ops": server.ops}[port]
        for method in METHODS:
            answer = client.request(method, path)
            if method in methods:
                assert answer.status_code not in (404, 405), (port, method, path)
                continue
            assert answer.status_code == 405, (port, method, path)
            assert set(answer.headers["Allow"].split(", ")) == methods
            if method != "HEAD":
                words = f"{method} {path}: method not allowed"
                assert error(answer.content) == {
                    "type": "bad_request",
                    "field": None,
                    "message": words,
                }


@pytest.mark.parametrize("port", ["jobs", "ops"])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_served_is_404(server: Container, port: str, method: str) -> None:
    """Nor is what FastAPI, the other pipeline or the other port serves."""
    paths = server.jobs.get("/openapi.json").json()["paths"]
    served = {*paths, "/openapi.json"} if port == "jobs" else {"/health", "/livez", "/metrics"}
    client = {"jobs": server.jobs, "ops": server.ops}[port]
    for path in set(OTHERS) - served:
        before = server.errors("bad_request")
        answer = client.request(method, path)
        assert answer.status_code == 404, path
        assert method == "HEAD" or error(answer.content)["type"] == "bad_request"
        assert server.errors("bad_request") == before + 1


def test_the_scheme_is_read_whatever_its_case(start_server: StartContainer) -> None:
    """And a 401 says which one is wanted."""
    with start_server(BYOC_AUTH_TOKEN=TOKEN) as server:
        path = min({*server.jobs.get("/openapi.json").json()["paths"]} - {"/health"})
        for scheme in ("Bearer", "bearer", "BEARER", "Bearer "):
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert server.jobs.post(path, headers=headers).status_code != 401
        for wrong in ("", TOKEN, f"Basic {TOKEN}", f"bearer {TOKEN}x"):
            answer = server.jobs.post(path, headers={"Authorization": wrong})
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
