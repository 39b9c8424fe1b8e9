"""The stand-in for an orchestrator with capabilities: by hand, then with the official SDK."""

import json
import signal
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web
from livepeer_gateway import byoc

from callee import Callee, Handler, run_callee
from emulator.container import DEADLINE_SECONDS, eventually
from harness import ROOT
from orchestrator.certificate import self_signed
from orchestrator.server import OrchestratorServer, run_orchestrator

SECRET = "orch-secret"
CHANNELS = {"enable_video_ingress": True, "enable_video_egress": True, "enable_data_output": True}


def livepeer(**fields: Any) -> dict[str, str]:
    """The header of a job."""
    job = {"request": "{}", "parameters": "{}", "capability": "cap", "timeout_seconds": 20}
    return {"Livepeer": b64encode(json.dumps(job | fields).encode()).decode()}


class Client(httpx.Client):
    """Somebody who trusts any certificate."""

    def __init__(self, orchestrator: OrchestratorServer) -> None:
        super().__init__(verify=False, base_url=orchestrator.url, timeout=DEADLINE_SECONDS)

    def register(self, container: Callee | None = None, **fields: Any) -> httpx.Response:
        url = container.url if container else "http://127.0.0.1:1"
        body = {"name": "cap", "url": url, "capacity": 2} | fields
        headers = {"Authorization": SECRET}
        return self.post("/capability/register", json=body, headers=headers)

    def job(self, route: str = "run", content: Any = b"{}", **fields: Any) -> httpx.Response:
        url = f"/process/request/{route}"
        return self.post(url, content=content, headers=livepeer(**fields))

    def available(self, name: str = "cap") -> int | None:
        """What a gateway is told, None if the key is not there."""
        sender = b64encode(b'{"addr": "0x0", "sig": ""}').decode()
        headers = {"Livepeer-Eth-Address": sender, "Livepeer-Capability": name}
        answer = self.get("/process/token", headers=headers)
        assert answer.status_code == 200, answer.text
        number: int | None = answer.json().get("available_capacity")
        return number

    def live(self, action: str, content: Any = b"{}", **fields: Any) -> httpx.Response:
        known = {"id": "s1", "request": '{"stream_id": "s1"}', "parameters": json.dumps(CHANNELS)}
        return self.post(
            f"/ai/stream/{action}", content=content, headers=livepeer(**known | fields)
        )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def orchestrator(certificate: ssl.SSLContext) -> Iterator[OrchestratorServer]:
    with run_orchestrator(tls=certificate, monitor_seconds=0.1) as server:
        yield server


@pytest.fixture
def client(orchestrator: OrchestratorServer) -> Iterator[Client]:
    with Client(orchestrator) as client:
        yield client


@pytest.fixture
def container() -> Iterator[Callee]:
    with run_callee() as container:
        yield container


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def is_refused(answer: httpx.Response, status: int, message: str) -> bool:
    """In the words of go-livepeer: plain text, and a newline."""
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return (answer.status_code, answer.text) == (status, f"{message}\n")


def is_dropped(client: Client) -> bool:
    return is_refused(client.job(), 503, "No capacity available for capability")


# Registration (core/external_capabilities.go)


def test_registering_and_unregistering(client: Client, container: Callee) -> None:
    assert is_dropped(client)
    assert client.available() is None
    answer = client.register(container)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert client.available() == 2
    for body in (b'"cap"', b"cap\n", b"cap"):
        assert client.job().status_code == 200
        answer = client.post(
            "/capability/unregister", content=body, headers={"Authorization": SECRET}
        )
        assert (answer.status_code, answer.text) == (200, "ok")
    assert is_dropped(client)


@pytest.mark.parametrize("secret", ["", "wrong", f"Bearer {SECRET}"])
@pytest.mark.parametrize("action", ["register", "unregister"])
def test_a_wrong_secret_is_a_400(secret: str, action: str, client: Client) -> None:
    client.register()
    url = f"/capability/{action}"
    answer = client.post(url, content=b"cap", headers={"Authorization": secret})
    assert is_refused(answer, 400, "invalid authorization")
    assert is_refused(client.get(url, headers={"Authorization": SECRET}), 405, "Method not allowed")
    assert client.available() == 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '"cap"', "{", '{"name": "cap"} {}', '{"capacity": NaN}', '{"name": 1}'),
        *('{"capacity": 1.0}', '{"capacity": 1e3}', '{"capacity": "1"}', '{"capacity": true}'),
        *('{"price_per_unit": 0.5}', '{"price_scaling": 9223372036854775808}', '{"load": "1"}'),
    ],
)
def test_a_wrong_body_is_a_400_in_words(text: str, client: Client) -> None:
    headers = {"Authorization": SECRET}
    answer = client.post("/capability/register", content=text, headers=headers)
    assert answer.status_code == 400
    assert answer.text.startswith("Error registering capability: ")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_body_is_read_as_go_reads_it(client: Client) -> None:
    text = '{"NAME": "cap", "Url": "http://a", "capacity": 3, "Load": 1, "token": null, "new": 1}'
    headers = {"Authorization": SECRET}
    assert client.post("/capability/register", content=text, headers=headers).text == "ok"
    assert client.available() == 2
    assert client.post("/capability/register", content="{}", headers=headers).text == "ok"
    assert client.job(capability="").status_code == 500  # which is known, and can't be reached


@pytest.mark.parametrize("currency", ["USD", "gwei", " wei"])
def test_an_unknown_currency_drops_the_connection(currency: str, client: Client) -> None:
    for known in ("", "wei", "ETH"):
        assert client.register(currency=known).status_code == 200
    with pytest.raises(httpx.TransportError):
        client.register(currency=currency, capacity=9)
    assert client.available() == 2


def test_without_a_secret_everybody_may_register(certificate: ssl.SSLContext) -> None:
    with run_orchestrator(tls=certificate, secret="") as orchestrator:
        answer = httpx.post(f"{orchestrator.url}/capability/register", json={}, verify=False)
        assert answer.status_code == 200


# Jobs (byoc/job_orchestrator.go)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "Could not verify job creds"),
        ("%%%", "Could not verify job creds"),
        (b64encode(b"[]").decode(), "Could not verify job creds"),
        (livepeer(timeout_seconds="20")["Livepeer"], "Could not verify job creds"),
        (livepeer(sig="0x")["Livepeer"], "Could not verify job creds"),
        (
            livepeer(timeout_seconds=0)["Livepeer"],
            "no timeout_seconds set with request, timeout_seconds is required",
        ),
    ],
)
def test_a_wrong_header_is_refused(
    header: str, message: str, client: Client, container: Callee
) -> None:
    client.register(container)
    answer = client.post("/process/request/run", headers={"Livepeer": header})
    assert is_refused(answer, 400, message)
    assert client.available() == 2
    assert not container.requests


def test_a_container_gets_little_of_a_call(client: Client, container: Callee) -> None:
    client.register(container, token="secret-token", url=f"{container.url}/base")
    headers = {"Content-Type": "image/png", "X-Custom": "lost", "Cookie": "a=b", "Accept": "*/*"}
    url = "/process/request/a%20b/c?q=1"
    client.post(url, content=b"\0body", headers={**headers, **livepeer(id="j1", sig="0" * 132)})
    (received,) = container.requests
    assert received[:2] == ("POST", "/base/a%20b/c")
    assert received.body == b"\0body"
    assert received.headers == {
        "host": container.url.removeprefix("http://"),
        "user-agent": "Go-http-client/1.1",
        "accept-encoding": "gzip",
        "content-type": "image/png",
        "content-length": "5",
        "authorization": "Bearer secret-token",
    }


def test_what_follows_the_prefix_is_appended(client: Client, container: Callee) -> None:
    client.register(container, url=f"{container.url}/base/")
    for route in ("", "cap", "a%3Fb=c"):
        assert client.job(route).status_code == 200
    targets = [received.target for received in container.requests]
    assert targets == ["/base/", "/base//cap", "/base//a?b=c"]
    assert is_refused(client.get("/process/request/run"), 405, "Method not allowed")


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/process/request", "/process/request/"),
        ("/process/request?q=1", "/process/request/?q=1"),
        ("/process//request/run?q=1", "/process/request/run?q=1"),
        ("/process/request//a%20b//", "/process/request/a%20b/"),
        ("/ai/stream//start", "/ai/stream/start"),
    ],
)
def test_paths_are_cleaned_by_redirect(target: str, location: str, client: Client) -> None:
    answer = client.post(httpx.URL(client.base_url, raw_path=target.encode()), headers=livepeer())
    assert (answer.status_code, answer.headers["Location"]) == (301, location)


@pytest.mark.parametrize(
    ("status", "relayed"), [(200, 200), (204, 200), (399, 200), (400, 400), (429, 429), (503, 503)]
)
def test_statuses_and_types_that_are_relayed(
    status: int, relayed: int, client: Client, container: Callee
) -> None:
    body = b"" if status == 204 else b'{"x": 1}'
    container.answer = lambda handler: handler.send(
        status, body, Content_Type="application/json", X_Metadata="m", X_Other="lost"
    )
    client.register(container)
    answer = client.job()
    assert answer.status_code == relayed
    assert answer.headers["X-Metadata"] == "m"
    assert answer.headers["Livepeer-Balance"] == "0"
    assert "X-Other" not in answer.headers
    if relayed == 200:
        assert (answer.content, answer.headers["Content-Type"]) == (body, "application/json")
    else:
        assert is_refused(answer, relayed, body.decode())
    assert client.available() == 2


def test_redirects_are_followed(client: Client, container: Callee) -> None:
    container.answers["/run"] = lambda handler: handler.send(307, Location="/moved")
    client.register(container)
    assert client.job(content=b"kept").json() == {"path": "/moved"}
    assert container.requests[-1].body == b"kept"


def test_401_drops_the_capability(client: Client, container: Callee) -> None:
    client.register(container)
    for status in (403, 404, 500):
        container.answer = lambda handler, status=status: handler.send(status)  # type: ignore[misc]
        assert client.job().status_code == status
    container.answer = lambda handler: handler.send(401)
    words = "job not able to be processed, removing capability err=worker auth token failed"
    assert is_refused(client.job(), 500, words)
    assert is_dropped(client)


@pytest.mark.parametrize("fault", ["refused", "reset", "no address"])
def test_errors_of_the_connection_drop_the_capability(
    fault: str, client: Client, container: Callee
) -> None:
    container.answer = Handler.break_off
    urls = {"refused": "http://127.0.0.1:1", "reset": container.url, "no address": ""}
    client.register(url=urls[fault])
    answer = client.job()
    assert answer.status_code == 500
    assert answer.text.startswith("job not able to be processed, removing capability err=")
    assert is_dropped(client)


@pytest.mark.parametrize(
    "url", ["http://a:b", "http://a b", ":8000", "127.0.0.1:8000", "http://a/%zz", "http://[::1"]
)
def test_a_url_that_go_cannot_parse_stays_and_leaks_its_slot(
    url: str, client: Client, orchestrator: OrchestratorServer
) -> None:
    client.register(url=url, capacity=3)
    answer = client.job()
    assert answer.status_code == 500
    assert answer.text.startswith(("parse ", "invalid ", "Invalid "))
    assert client.available() == 2
    assert is_refused(client.live("start"), 500, "Failed to create worker request")
    assert not orchestrator.trickle.channels
    assert client.live("update").status_code == client.live("stop").status_code == 400
    assert client.available() == 2


def test_an_answer_that_breaks_off_is_a_500(client: Client, container: Callee) -> None:
    container.answer = Handler.send_half
    client.register(container)
    assert is_refused(client.job(), 500, "unexpected EOF")
    assert client.available() == 2


def test_timeouts_leave_the_slot_taken_and_the_capability_there(
    client: Client, container: Callee
) -> None:
    going = threading.Event()

    def wait(handler: Handler) -> None:
        going.wait(DEADLINE_SECONDS)
        handler.break_off()

    container.answer = wait
    client.register(container)
    answer = client.job(timeout_seconds=1)
    assert is_refused(
        answer, 500, "job not able to be processed, removing capability err=context canceled"
    )
    assert client.available() == 1
    with pytest.raises(httpx.ReadTimeout):
        client.post("/process/request/run", headers=livepeer(), timeout=1)
    eventually(lambda: len(container.requests) == 2, "asked twice")
    assert client.available() is None
    going.set()
    client.register(container, load=1)
    assert client.available() == 1
    client.register(container)
    assert client.available() == 2


def test_slots_that_leak(client: Client, container: Callee) -> None:
    client.register(container, capacity=9)
    assert client.job(request="[]").status_code == 400
    assert client.job(request="").status_code == 400
    assert client.job("%25zz").status_code == 500
    assert client.live("start", parameters="").status_code == 400
    assert client.available() == 5
    assert not container.requests


def test_capacity_is_no_limit(client: Client, container: Callee, pool: ThreadPoolExecutor) -> None:
    """And a registration in between makes the load negative."""
    going = threading.Event()

    def answer(handler: Handler) -> None:
        assert going.wait(DEADLINE_SECONDS)
        handler.send()

    container.answer = answer
    client.register(container, capacity=1)
    jobs = [pool.submit(client.job) for _ in range(2)]
    eventually(lambda: len(container.requests) == 2, "both there")
    assert client.available() is None
    client.register(container, capacity=1)
    going.set()
    assert [job.result(DEADLINE_SECONDS).status_code for job in jobs] == [200, 200]
    assert client.available() == 3


# Server-sent events


def listening(client: Client, **fields: Any) -> AbstractContextManager[httpx.Response]:
    """A job whose answer is read as it comes."""
    return client.stream("POST", "/process/request/run", headers=livepeer(**fields))


def saying(text: bytes, status: int = 200) -> Callable[[Handler], None]:
    def say(handler: Handler) -> None:
        handler.begin("text/event-stream; charset=utf-8", status)
        handler.wfile.write(text)

    return say


def test_events_are_relayed_as_they_come(client: Client, container: Callee) -> None:
    relayed = threading.Event()

    def answer(handler: Handler) -> None:
        handler.begin("text/event-stream; charset=utf-8", 500)
        handler.wfile.write(b": comment\r\ndata: 1\n\n")
        handler.wfile.flush()
        assert relayed.wait(DEADLINE_SECONDS)
        handler.wfile.write(b"data: [DONE]\n")

    container.answer = answer
    client.register(container)
    with listening(client) as events:
        assert (events.status_code, events.headers["Content-Type"]) == (200, "text/event-stream")
        assert events.headers["Livepeer-Payment-Balance"] == "0"
        lines = events.iter_lines()
        assert [next(lines) for _ in range(3)] == [": comment", "data: 1", ""]
        assert client.available() == 1
        relayed.set()
        balance = 'data: {"balance": 0.000}'
        assert [next(lines) for _ in range(4)] == [balance, "", "", "data: [DONE]"]
        assert client.available() == 1
    eventually(lambda: client.available() == 2, "free once the caller has hung up")


def test_unfinished_stream_gets_newlines_until_the_timeout(
    client: Client, container: Callee
) -> None:
    container.answer = saying(b"data: 1\n\nno newline")
    client.register(container)
    with listening(client, timeout_seconds=1) as events:
        lines = list(events.iter_lines())
    assert lines[:3] == ["data: 1", "", "no newline"]
    assert len(lines) > 20
    assert not any(lines[3:])
    eventually(lambda: client.available() == 2, "free")


@pytest.mark.parametrize(("length", "passes"), [(65_535, True), (65_536, False)])
def test_the_longest_line(length: int, passes: bool, client: Client, container: Callee) -> None:
    container.answer = saying(length * b"x" + b"\ndata: after\n")
    client.register(container)
    with listening(client) as events:
        lines = events.iter_lines()
        found = [next(lines) for _ in range(2)]
    assert [len(line) for line in found] == ([length, len("data: after")] if passes else [0, 0])


# Streams (byoc/stream_orchestrator.go)


def test_a_stream_from_start_to_stop(
    client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    client.register(container, token="secret-token")
    started = client.live("start", b'{"params": {"x": 1}, "data_url": "mine"}')
    assert (started.status_code, started.content) == (200, b"")
    (received,) = container.requests
    assert (received.method, received.target) == ("POST", "/stream/start")
    assert received.headers["x-stream-id"] == "s1"
    assert received.headers["authorization"] == "Bearer secret-token"
    origin = f"{orchestrator.url}/ai/trickle/s1"
    assert json.loads(received.body) == {
        "gateway_request_id": "s1",
        "control_url": f"{origin}-control",
        "events_url": f"{origin}-events",
        "subscribe_url": origin,
        "publish_url": f"{origin}-out",
        "data_url": "mine",
        "params": {"x": 1},
    }
    told = {name: url for name, url in started.headers.items() if name.startswith("x-")}
    assert told == {
        "x-control-url": f"{origin}-control",
        "x-events-url": f"{origin}-events",
        "x-publish-url": origin,
        "x-subscribe-url": f"{origin}-out",
        "x-data-url": f"{origin}-data",
    }
    types = {name: it.mime_type for name, it in orchestrator.trickle.channels.items()}
    assert types == {
        "s1-control": "application/json",
        "s1-events": "application/json",
        "s1": "video/MP2T",
        "s1-out": "video/MP2T",
        "s1-data": "application/jsonl",
    }
    assert client.available() == 1
    container.answer = lambda handler: handler.send(422, b'{"error": 1}')
    updated = client.live("update", b'{"x": 2}', id="")
    assert (updated.status_code, updated.content) == (422, b'{"error": 1}')
    received = container.requests[-1]
    assert (received.target, received.body) == ("/stream/params", b'{"x": 2}')
    assert received.headers["content-type"] == "application/json"
    assert client.live("stop", b"stream ended").status_code == 422
    received = container.requests[-1]
    assert (received.target, received.body) == ("/stream/stop", b"stream ended")
    assert received.headers["x-stream-id"] == "s1"
    assert "content-type" not in received.headers
    assert not orchestrator.trickle.channels
    eventually(lambda: client.available() == 2, "free")


def test_channels_that_are_not_asked_for_are_absent(client: Client, container: Callee) -> None:
    client.register(container)
    started = client.live("start", b"null", parameters="{}")
    assert started.status_code == 200
    keys = {"gateway_request_id", "control_url", "events_url"}
    assert json.loads(container.requests[-1].body).keys() == keys
    assert "X-Publish-Url" not in started.headers


@pytest.mark.parametrize("body", [b"", b"[]", b"0", b"{"])
def test_a_start_needs_an_object(
    body: bytes, client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    client.register(container)
    assert is_refused(client.live("start", body), 400, "Invalid JSON body")
    assert not container.requests
    assert not orchestrator.trickle.channels
    assert client.available() == 2


def test_a_start_that_the_container_refuses(
    client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    container.answer = lambda handler: handler.send(503, b"busy")
    client.register(container)
    answer = client.live("start")
    assert (answer.status_code, answer.content) == (503, b"busy")
    assert not orchestrator.trickle.channels
    assert client.available() == 2
    container.answer = Handler.break_off
    assert is_refused(client.live("start"), 500, "Error sending request to worker")
    assert is_refused(client.live("update"), 500, "Error sending request to worker")
    assert client.available() == 2
    container.answer = lambda handler: handler.send(401)
    answer = client.live("start")
    assert (answer.status_code, answer.content) == (500, b"Orchestrator worker failure")
    assert is_dropped(client)


def test_a_second_start_of_a_stream_fails_after_the_container_took_it(
    client: Client, container: Callee
) -> None:
    client.register(container)
    assert client.live("start").status_code == 200
    assert client.live("start").status_code == 500
    assert len(container.requests) == 2
    assert client.available() == 1


def test_a_stop_ends_the_stream_whatever_is_said(
    client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    client.register(container)
    client.live("start")
    container.answer = Handler.break_off
    assert client.live("stop").status_code == 200
    assert not orchestrator.trickle.channels
    eventually(lambda: client.available() == 2, "free, and still there")
    container.answer = lambda handler: handler.send(401)
    assert client.live("stop").status_code == 500
    assert is_dropped(client)


def test_streams_of_what_is_unknown(client: Client) -> None:
    words = "No capacity available for capability"
    assert is_refused(client.live("start"), 400, words)
    prefix = "Failed to stop stream, request not valid err="
    for action in ("stop", "update"):
        answer = client.post(f"/ai/stream/{action}", headers={"Livepeer": ""})
        assert is_refused(answer, 400, f"{prefix}Could not verify job creds")
    assert client.live("stop").status_code == 200
    assert client.live("update").status_code == 500


def test_a_stream_whose_capability_was_missing_keeps_its_slot(
    client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    client.register(container)
    client.live("start")
    client.post("/capability/unregister", content=b"cap", headers={"Authorization": SECRET})
    watching = orchestrator.registry.streams.by_id["s1"].watching
    assert watching
    eventually(watching.done, "nobody watches it")
    client.register(container, load=1)
    assert client.live("stop").status_code == 200
    assert client.available() == 1


# What a test can do to it


def test_what_it_forgets_and_what_it_keeps(
    orchestrator: OrchestratorServer, client: Client, container: Callee
) -> None:
    client.register(container)
    client.live("start")
    orchestrator.forget()
    assert is_dropped(client)
    assert not orchestrator.trickle.channels
    client.register(container)
    assert client.available() == 2
    assert client.live("start").status_code == 200


def test_it_can_be_started_again_at_its_port(certificate: ssl.SSLContext) -> None:
    with run_orchestrator(tls=certificate) as orchestrator, Client(orchestrator) as client:
        client.register()
        port = orchestrator.port
    with run_orchestrator(tls=certificate, port=port) as again, Client(again) as client:
        assert again.url == orchestrator.url
        assert is_dropped(client)


def test_calls_are_kept_and_faults_come_first(
    orchestrator: OrchestratorServer, client: Client
) -> None:
    async def teapot(_: web.Request) -> web.Response:
        return web.Response(status=418)

    client.register()
    orchestrator.fault = teapot
    assert client.register().status_code == 418
    assert client.available() == 2
    orchestrator.fault = None
    client.post("/capability/unregister", content=b"cap", headers={"Authorization": SECRET})
    calls = list(orchestrator.calls)
    assert [call[1:3] for call in calls] == [
        ("/capability/register", 200),
        ("/capability/register", 418),
        ("/capability/unregister", 200),
    ]
    assert calls[0].body["name"] == calls[2].body == "cap"
    assert sorted(call.at for call in calls) == [call.at for call in calls]


def test_the_command_says_what_happens_and_no_secret(tmp_path: Path, container: Callee) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    command = [sys.executable, "-m", "orchestrator.server", "--port", "0"]
    process = subprocess.Popen(
        [*command, f"--secret-file={tmp_path / 'secret'}"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout
    try:
        first = process.stdout.readline()
        url = first.removeprefix("serving at ").strip()
        with Client(SimpleNamespace(url=url)) as client:  # type: ignore[arg-type]
            client.register(container, token="the-token")
            client.job()
            client.live("start")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert not [word for word in (SECRET, "the-token", "/ai/trickle") if word in first + rest]
    for words in ("capability cap registered", "job /run of cap: 200", "stream s1: started"):
        assert words in rest


def test_sdk_submits_a_job(
    client: Client, container: Callee, orchestrator: OrchestratorServer
) -> None:
    client.register(container)
    job = byoc.ByocJobRequest("cap", {"x": 1}, timeout_seconds=20)
    answer = byoc.submit_byoc_job(job, orch_url=orchestrator.url)
    assert answer.data == {"path": "/cap"}
    assert json.loads(container.requests[-1].body) == {"x": 1}
