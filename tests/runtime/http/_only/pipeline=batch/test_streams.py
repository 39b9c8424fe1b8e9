"""Server-sent events as go-livepeer's relay needs them: it reads lines, and waits for `[DONE]`."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from emulator.container import Container, StartContainer, eventually
from harness import size
from jobs import do
from my_model.runtime.sessions.sse import MAX_LINE_BYTES, events

RELAY_LINE_BYTES = 65_535


def stream(server: Container, behaviour: str, **order: Any) -> tuple[list[str], bytes]:
    """The lines of a stream and the whole of it, of which the form is checked."""
    answer = do(server, behaviour, **order)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert max(map(len, answer.content.split(b"\n"))) <= RELAY_LINE_BYTES
    lines = answer.text.split("\n")
    assert [line for line in lines if "[DONE]" in line] == ["data: [DONE]"]
    assert answer.text.endswith("data: [DONE]\n\n")
    return lines, answer.content


def values(lines: list[str]) -> list[Any]:
    return [json.loads(line[6:]) for line in lines if line[:6] == "data: " and "[DONE]" not in line]


def test_each_value_is_an_event(server: Container) -> None:
    wanted = [1, "two", {"drei": "ü\n\u2028"}, [None, True], ""]
    lines, _ = stream(server, "stream", values=wanted)
    assert values(lines) == wanted


def test_a_stream_of_nothing_ends_too(server: Container) -> None:
    lines, _ = stream(server, "stream", values=[])
    assert values(lines) == []


def test_done_in_a_text_does_not_end_the_stream(server: Container) -> None:
    wanted = ["[DONE]", {"[DONE]": "data: [DONE]\n\n"}, "after"]
    lines, _ = stream(server, "stream", values=wanted)
    assert values(lines) == wanted


@pytest.mark.parametrize("text", [70_000 * "x", 40_000 * '"', 30_000 * "😀", 20_000 * "[DONE]\n"])
def test_a_value_too_long_for_a_line_comes_in_fragments(server: Container, text: str) -> None:
    lines, _ = stream(server, "stream", values=[text, "after"])
    *fragments, after = values(lines)
    assert lines.count("event: fragment") == len(fragments) > 1
    assert [fragment["index"] for fragment in fragments] == list(range(len(fragments)))
    assert {fragment["count"] for fragment in fragments} == {len(fragments)}
    assert json.loads("".join(fragment["text"] for fragment in fragments)) == text
    assert after == "after"


@pytest.mark.parametrize("length", range(MAX_LINE_BYTES - 12, MAX_LINE_BYTES + 2))
def test_no_line_is_over_the_limit(length: int) -> None:
    data = json.dumps("x" * (length - 2)).encode()
    lines = b"".join(events(data)).split(b"\n")
    assert max(map(len, lines)) <= RELAY_LINE_BYTES
    assert (len(lines) == 3) == (length + len("data: ") <= MAX_LINE_BYTES)


@pytest.mark.parametrize(
    ("behaviour", "order", "error_type"),
    [
        ("stream", {"then": "fail"}, "model_error"),
        ("stream", {"then": "refuse"}, "bad_request"),
        ("stream", {"then": "exhaust"}, "out_of_memory"),
        ("stream", {"then": "crash"}, "worker_crash"),
        ("stream_object", {}, "model_error"),
        ("stream_and_return", {}, "model_error"),
    ],
)
def test_an_error_is_told_inside_the_stream(
    server: Container, behaviour: str, order: dict[str, str], error_type: str
) -> None:
    before = server.errors(error_type)
    lines, _ = stream(server, behaviour, values=[1, 2], **order)
    assert lines[-6] == "event: error"
    *parts, error = values(lines)
    assert parts == [1, 2]
    assert error["error"]["type"] == error_type
    assert server.errors(error_type) == before + 1
    eventually(lambda: do(server, "echo").status_code == 200, "a job answered")


def test_events_come_as_they_are_made(server: Container, tmp_path: Path) -> None:
    release = tmp_path / "release"
    order = {"do": "stream", "values": [1], "then": "wait_for_file", "file": str(release)}
    with server.jobs.stream("POST", "/run", json=order) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: 1"
        release.touch()
        assert list(lines)[-2:] == ["data: [DONE]", ""]


def test_a_reader_who_stops_reading_does_not_hold_the_model(
    start_server: StartContainer, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    body = json.dumps({"do": "endless", "closed": str(closed)})
    head = "POST /run HTTP/1.1", "Host: x", "Content-Type: application/json"
    request = "\r\n".join((*head, f"Content-Length: {len(body)}", "", body)).encode()
    with (
        start_server(BYOC_SEND_TIMEOUT_SECONDS="0.2") as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.sendall(request)
        eventually(lambda: size(closed), "the model is free again")
        eventually(lambda: server.metric("byoc_sessions_active") == 0, "no session open")
        assert server.errors("timeout") == 1
        assert server.metric("byoc_worker_restarts_total") == 0
        assert do(server, "echo").status_code == 200


def test_a_reader_who_is_slow_does_not_hold_the_model(
    start_server: StartContainer, tmp_path: Path
) -> None:
    """Nor one who reads a little within each of the model's waits."""
    closed = tmp_path / "closed"
    order = {"do": "endless", "closed": str(closed)}
    with (
        start_server(BYOC_SEND_TIMEOUT_SECONDS="2") as server,
        server.jobs.stream("POST", "/run", json=order) as answer,
    ):
        chunks = answer.iter_raw()
        eventually(lambda: next(chunks) and size(closed), "the model is free again")
        assert server.metric("byoc_worker_restarts_total") == 0
