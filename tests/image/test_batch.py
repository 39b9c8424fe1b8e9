"""Jobs: answered, refused, and never lost, by a hardened container."""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from image.engine import (
    KILL_SECONDS,
    Answer,
    Container,
    Image,
    Start,
    container,
    docker,
    eventually,
)
from image.load import Load

PIPELINE = "batch"
PHOTO_SIZE = (512, 600)
LIMIT_BYTES = 384 * 1024 * 1024
LARGE_BODY = bytes(16 * 1024 * 1024)  # more than sockets hold: an answer comes while it is sent


@pytest.fixture(scope="module")
def photo(image: Image) -> bytes:
    return (image.root / "tests/data/grace_hopper.jpg").read_bytes()


@pytest.fixture
def open_gate(tmp_path: Path) -> Callable[[str], None]:
    return lambda name: (tmp_path / name).touch()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def send(running: Container, pool: ThreadPoolExecutor) -> Future[Answer]:
    """A job, on its way once this returns."""
    job = pool.submit(running.run, b"1")
    eventually(lambda: running.metric("byoc_sessions_active") == 1, "a session")
    return job


def decode(png: bytes) -> tuple[tuple[int, int], bytes]:
    """The size and the raw rows of a PNG of 8-bit RGB."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    rest = png[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        name, data, rest = rest[4:8], rest[8 : 8 + length], rest[12 + length :]
        chunks[name] = chunks.get(name, b"") + data
    width, height, depth, color = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, color) == (8, 2)
    return (width, height), zlib.decompress(chunks[b"IDAT"])


def test_photograph_in_json(server: Container, photo: bytes) -> None:
    answer = server.run(json.dumps({"image": base64.b64encode(photo).decode()}).encode())
    assert answer.status == 200
    told = json.loads(answer.body)
    size, rows = decode(base64.b64decode(told["image"]))
    assert size == (told["width"], told["height"]) == PHOTO_SIZE
    assert len(rows) == size[1] * (1 + 3 * size[0])


def test_photograph_as_the_body(server: Container, photo: bytes) -> None:
    """The same picture as by JSON, byte for byte."""
    answer = server.run(photo, "image/jpeg")
    assert answer.status == 200
    json_answer = server.run(json.dumps({"image": base64.b64encode(photo).decode()}).encode())
    assert decode(answer.body) == decode(base64.b64decode(json.loads(json_answer.body)["image"]))


def test_no_photograph_is_the_callers_mistake(server: Container) -> None:
    answer = server.run(b"no photograph", "image/jpeg")
    assert answer.status == 422
    assert json.loads(answer.body)["error"]["field"] == "image"


def test_stop_under_load_loses_no_accepted_request(image: Image, photo: bytes) -> None:
    """The server's own log decides who was accepted and what became of it."""
    job = json.dumps({"image": base64.b64encode(photo).decode(), "passes": 4}).encode()
    with container(image.tag, BYOC_CAPACITY="2") as running:
        running.wait_healthy()
        load = Load(running, job, clients=4)
        try:
            eventually(lambda: load.count(200) >= 4 and load.count(503) >= 4, "answers")
            seconds = running.stop()
        finally:
            load.finish()
        assert running.state["ExitCode"] == 0, running.log()
        assert seconds < KILL_SECONDS
        (closed,) = running.events("admission closed")
        assert closed["sessions"] >= 1
        ended = {line["request_id"]: line["outcome"] for line in running.events("job ended")}
    assert set(ended.values()) == {"ok", "capacity"}
    statuses = {"ok": 200, "capacity": 503}
    answered = {name: result for name, result in load.results.items() if isinstance(result, int)}
    assert answered == {name: statuses[outcome] for name, outcome in ended.items()}


def test_drain(start: Start, pool: ThreadPoolExecutor, open_gate: Callable[[str], None]) -> None:
    """New jobs are refused, the one that is in ends well, and with it the container."""
    with start(
        "--stop-timeout=600", BYOC_MODEL="models:Gated", BYOC_DRAIN_SECONDS="590"
    ) as running:
        running.wait_healthy()
        job = send(running, pool)
        stop = pool.submit(running.stop)
        eventually(lambda: running.events("draining"), "draining")
        refused = running.run(LARGE_BODY)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert running.health() == 200
        assert not job.done()
        open_gate("predict")
        assert job.result().status == 200
        stop.result()
        assert running.state["ExitCode"] == 0


def test_out_of_memory_costs_the_job_alone(start: Start) -> None:
    """The kernel kills the model's process, and the container goes on."""
    if docker("info", "--format={{.MemoryLimit}}") != "true":
        pytest.skip("this engine can't limit memory")
    limit = f"--memory={LIMIT_BYTES}"
    with start(limit, f"--memory-swap={LIMIT_BYTES}", BYOC_MODEL="models:Hungry") as running:
        running.wait_healthy()
        answer = running.run(str(2 * LIMIT_BYTES).encode())
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert json.loads(answer.body)["error"]["type"] == "out_of_memory"
        assert running.metric('byoc_errors_total{type="out_of_memory"}') == 1
        assert running.metric('byoc_errors_total{type="worker_crash"}') == 0
        eventually(lambda: running.run(b"1").status == 200, "the next job")
        assert running.metric("byoc_worker_restarts_total") == 1
        assert running.health() == 200
        running.stop()
        assert running.state["ExitCode"] == 0
