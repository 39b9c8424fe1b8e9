"""The job port as orchestrators and gateways call it."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from emulator.container import DEADLINE_SECONDS, Container, eventually
from streaming import Caller, bunny, frames

CLIP = bunny(size=(160, 90), frames=30, audio=False)
LEGACY = "/live-video-to-video"
NO_NUMBER = '{"gain": NaN}'
DEEP = 50_000 * '{"a":'


def error(answer: httpx.Response) -> dict[str, str | None]:
    """The error of an answer, of which the form is checked."""
    assert answer.headers["Content-Type"] == "application/json"
    assert "\n" not in answer.text
    assert set(answer.json()) == {"error"}
    found: dict[str, str | None] = answer.json()["error"]
    assert set(found) == {"type", "field", "message"}
    return found


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"params": {"gain": 2}}, {"gain": 2}),
        ({"params": '{"gain": 2}'}, {"gain": 2}),
        ({"params": None}, {}),
        ({"params": ""}, {}),
        ({"params": "null"}, {}),
        ({}, {}),
        ({"params": {}, "stream_name": "x", "model_id": 3}, {}),
    ],
)
def test_parameters_come_in_many_forms(caller: Caller, given: Any, taken: Any) -> None:
    """As an object, its text, null or not at all; what else is in the body is of no interest."""
    headers = {"X-Stream-Id": caller.id}
    answer = caller.server.jobs.post("/stream/start", json=caller.urls | given, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"session_id": caller.id})
    (started,) = eventually(lambda: caller.events("started"), "started")
    assert started["params"] == taken


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subscribe_url": None}, "subscribe_url"),
        ({"subscribe_url": 7}, "subscribe_url"),
        ({"subscribe_url": "in"}, "subscribe_url"),
        ({"publish_url": "ftp://a/b"}, "publish_url"),
        ({"publish_url": "http://a:b/c"}, "publish_url"),
        ({"control_url": "http://[a/b"}, "control_url"),
        ({"events_url": ["http://a/b"]}, "events_url"),
        ({"data_url": f"http://a/{2048 * 'b'}"}, "data_url"),
        ({"gateway_request_id": 7}, "gateway_request_id"),
        ({"params": [1]}, "params"),
        ({"params": "[1]"}, "params"),
        ({"params": "no JSON"}, "params"),
        ({"params": True}, "params"),
        ({"params": NO_NUMBER}, "params"),
        ({"params": DEEP}, "params"),
    ],
)
def test_what_is_wrong_is_named(
    server: Container, caller: Caller, changes: Any, field: str
) -> None:
    before = server.errors("bad_request")
    answer = caller.start(**{"params": {}, **changes})
    assert answer.status_code == 422
    assert error(answer)["type"] == "bad_request"
    assert error(answer)["field"] == field
    assert str(error(answer)["message"]).startswith(f"{field}: ")
    assert server.errors("bad_request") == before + 1
    assert not caller.status()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "subscribe_url"),
        (b"{}", "subscribe_url"),
        (b'{"params": {}}', "subscribe_url"),
        (b'{"params": ', "body"),
        (b"[]", "body"),
        (b"\xff\xfe", "body"),
        (DEEP.encode(), "body"),
        (f'{{"subscribe_url": "http://a/b", "params": {NO_NUMBER}}}'.encode(), "params"),
    ],
)
def test_a_start_without_channels_is_refused(server: Container, body: bytes, field: str) -> None:
    answer = server.jobs.post("/stream/start", content=body)
    assert answer.status_code == 422
    assert error(answer)["field"] == field


@pytest.mark.parametrize("key", ["publish_url", "control_url", "events_url", "data_url"])
def test_channels_may_be_missing(caller: Caller, key: str) -> None:
    """The input alone is needed; the others go on."""
    caller.open({"do": "count"}, **{key: None})
    caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
    eventually(lambda: caller.status()["frames_out"] >= 1, "frames")
    caller.stop()
    assert caller.status() == {}
    heard: dict[str, Callable[[], Any]] = {
        "publish_url": caller.segments,
        "events_url": lambda: caller.events("stopped"),
        "data_url": caller.lines,
    }
    for channel, listen in heard.items():
        if channel == key:
            assert not listen()
        else:
            eventually(listen, channel)


@pytest.mark.parametrize(
    ("headers", "body", "name"),
    [
        ({"X-Stream-Id": "a"}, {"gateway_request_id": "b", "stream_id": "c"}, "a"),
        ({}, {"gateway_request_id": "b", "stream_id": "c"}, "b"),
        ({}, {"stream_id": "c"}, "c"),
        ({}, {}, None),
    ],
)
def test_streams_are_named(caller: Caller, headers: Any, body: Any, name: str | None) -> None:
    """By the header, else by the body, else at random."""
    answer = caller.server.jobs.post("/stream/start", json=caller.urls | body, headers=headers)
    caller.id = answer.json()["session_id"]
    assert re.fullmatch(name or "[0-9a-f]{32}", caller.id)
    assert caller.status()


@pytest.mark.parametrize("name", ["a b", "a/b", 129 * "a"])
def test_unfit_names_are_refused(server: Container, name: str) -> None:
    body = {"subscribe_url": "http://a/b"}
    answer = server.jobs.post("/stream/start", json=body, headers={"X-Stream-Id": name})
    assert (answer.status_code, error(answer)["field"]) == (422, "X-Stream-Id")


def test_a_session_of_a_proxy_is_the_only_one_it_can_name(caller: Caller) -> None:
    """Proxies set the session's header themselves; X-Stream-Id is whatever a caller says."""
    caller.begin()
    headers = {"Livepeer-Session-Id": "another", "X-Stream-Id": caller.id}
    assert caller.server.jobs.post("/stream/stop", headers=headers).status_code == 200
    assert caller.status()["state"] == "streaming"


def test_a_start_answers_before_there_is_media(caller: Caller) -> None:
    """Media flows only afterwards: to wait for it is to wait for ever."""
    assert caller.start({}).status_code == 200
    assert caller.input.next_index == 0
    assert caller.status()["state"] == "streaming"


@pytest.mark.parametrize("body", [b"", b"{}", b"stream ended", b'{"half": ', b"\xff", b"null"])
def test_a_stop_takes_any_body_any_number_of_times(caller: Caller, body: bytes) -> None:
    caller.begin()
    both = [caller.server.pool.submit(caller.stop, body) for _ in range(2)]
    answers = [answer.result() for answer in both] + [caller.stop(body)]
    assert [answer.status_code for answer in answers] == 3 * [200]
    assert not caller.status()
    (stopped,) = eventually(lambda: caller.events("stopped"), "stopped")
    assert stopped["reason"] == "stopped"


def test_a_stop_of_what_never_ran_is_fine(server: Container) -> None:
    answer = server.jobs.post("/stream/stop", headers={"X-Stream-Id": "nobody"})
    assert (answer.status_code, answer.json()) == (200, {"status": "stopped"})


def test_a_stop_answers_after_the_last_frame(caller: Caller) -> None:
    """Whoever stopped closes the channels as soon as there is an answer."""
    caller.open()
    caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
    eventually(lambda: caller.input.get(caller.input.next_index), "input received")
    assert caller.stop().status_code == 200
    assert f"{caller.id}-publish" not in caller.trickle.channels
    assert f"{caller.id}-events" not in caller.trickle.channels
    eventually(lambda: caller.output() and len(frames(caller.output())) == 30, "all frames")


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: {"params": it}])
def test_parameters_are_updated(caller: Caller, wrap: Any) -> None:
    """Bare, or as they stand in a start; those that are not named stay."""
    caller.begin({"a": 1, "b": 1})
    headers = {"X-Stream-Id": caller.id}
    answer = caller.server.jobs.post("/stream/params", json=wrap({"b": 2}), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    (event,) = eventually(lambda: caller.events("params_updated"), "params_updated")
    assert event["params"] == {"a": 1, "b": 2}


@pytest.mark.parametrize("body", [b"[1]", b"no JSON", b"3", NO_NUMBER.encode()])
def test_an_update_that_is_no_object_changes_nothing(caller: Caller, body: bytes) -> None:
    caller.begin({"a": 1})
    headers = {"X-Stream-Id": caller.id}
    answer = caller.server.jobs.post("/stream/params", content=body, headers=headers)
    assert answer.status_code == 422
    assert error(answer)["field"] in {"params", "body"}
    caller.server.jobs.post("/stream/params", json={"b": 2}, headers=headers)
    (event,) = eventually(lambda: caller.events("params_updated"), "params_updated")
    assert event["params"] == {"a": 1, "b": 2}


def test_an_update_of_an_unknown_stream_is_404(server: Container) -> None:
    answer = server.jobs.post("/stream/params", json={}, headers={"X-Stream-Id": "nobody"})
    assert (answer.status_code, error(answer)["field"]) == (404, "X-Stream-Id")


def test_the_status_tells_no_addresses(caller: Caller) -> None:
    caller.begin({"secret": "a"})
    text = caller.server.jobs.get("/stream/status").text
    assert caller.id in text
    assert "http" not in text
    assert "secret" not in text
    assert caller.id + "-" not in text
    assert {"session_id", "state", "fps_in", "fps_out", "latency_p50_ms"} <= set(caller.status())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/nothing", 404),
        ("POST", "/", 404),
        ("GET", "/stream/start", 405),
        ("GET", "/stream/stop", 405),
        ("POST", "/stream/status", 405),
        ("GET", LEGACY, 405),
    ],
)
def test_unknown_routes_and_methods(server: Container, method: str, path: str, status: int) -> None:
    before = server.errors("bad_request")
    answer = server.jobs.request(method, path)
    assert answer.status_code == status
    assert error(answer)["type"] == "bad_request"
    assert str(error(answer)["message"]).startswith(f"{method} {path}: ")
    assert server.errors("bad_request") == before + 1


def test_openapi_describes_the_routes(server: Container) -> None:
    paths = server.jobs.get("/openapi.json").json()["paths"]
    routes = ("start", "stop", "params", "status")
    assert set(paths) == {"/health", LEGACY, *(f"/stream/{route}" for route in routes)}


def test_legacy_route_starts_a_stream(caller: Caller) -> None:
    """A legacy worker has no data channel and no stop: the end of the input is the end."""
    names = {"gateway_request_id": caller.id, "manifest_id": "m", "model_id": "", "stream_id": "s"}
    urls = {key: url for key, url in caller.urls.items() if key != "data_url"}
    answer = caller.server.jobs.post(LEGACY, json={**urls, **names, "params": {"do": "invert"}})
    assert (answer.status_code, answer.json()) == (200, {"session_id": caller.id})
    eventually(lambda: caller.input.segments, "input subscribed")
    caller.publish(CLIP, speed=10).result(DEADLINE_SECONDS)
    caller.finish()
    assert len(frames(caller.output())) == 30


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "subscribe_url"),
        (b"no JSON", "body"),
        (b'{"subscribe_url": "http://a/b"}', "publish_url"),
        (b'{"subscribe_url": "http://a/b", "publish_url": null}', "publish_url"),
    ],
)
def test_legacy_route_has_errors_of_its_own(server: Container, body: bytes, field: str) -> None:
    answer = server.jobs.post(LEGACY, content=body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"detail"}
    assert set(answer.json()["detail"]) == {"msg"}
    assert answer.json()["detail"]["msg"].startswith(f"{field}: ")


def test_legacy_route_answers_only_four_statuses(server: Container, caller: Caller) -> None:
    """Any other is taken for success."""
    caller.begin()
    again = {**caller.urls, "gateway_request_id": caller.id}
    large = httpx.Request("POST", f"{server.jobs.base_url}{LEGACY}", content=bytes(2_000_000))
    for answer in (server.jobs.post(LEGACY, json=again), server.jobs.send(large)):
        assert answer.status_code == 500
        assert set(answer.json()["detail"]) == {"msg"}


def test_health_is_the_same_on_both_ports(server: Container) -> None:
    for client in (server.jobs, server.ops):
        answer = client.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
