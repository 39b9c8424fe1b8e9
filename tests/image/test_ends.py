"""The container's ends, as process 1: stopped at its work, drained, out of memory."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from image.engine import Answer, Container, Image, container, docker, eventually
from image.load import Load

KILL_SECONDS = 10  # what `docker stop` allows by default
LIMIT_BYTES = 384 * 1024 * 1024
LARGE_BODY = bytes(16 * 1024 * 1024)  # more than sockets hold: an answer comes while it is sent

type Start = Callable[..., AbstractContextManager[Container]]


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Start:
    """A container whose model the test chooses; `open_gate` lets gated models go on."""
    models = Path(__file__).with_name("models.py")
    tmp_path.chmod(0o755)
    mounts = (f"--volume={models}:/test/models.py:ro", f"--volume={tmp_path}:/gate:ro")
    return partial(container, image.tag, *mounts, PYTHONPATH="/test", BYOC_CAPACITY="2")


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


@pytest.mark.parametrize("by", ["signal", "command"])
def test_drain(
    start: Start, pool: ThreadPoolExecutor, open_gate: Callable[[str], None], by: str
) -> None:
    """New jobs are refused, the one that is in ends well, and then the container can go."""
    with start(BYOC_MODEL="models:Gated", BYOC_DRAIN_SECONDS="60") as running:
        running.wait_healthy()
        job = send(running, pool)
        if by == "signal":
            running.signal("USR1")
        else:
            command = pool.submit(running.execute, "python", "-m", "my_model", "drain")
        eventually(lambda: running.events("admission closed"), "closed")
        refused = running.run(LARGE_BODY)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert running.health() == 200
        assert not job.done()
        open_gate("predict")
        assert job.result().status == 200
        eventually(lambda: running.health() == 503, "drained")
        if by == "command":
            done = command.result()
            assert done.returncode == 0, done.stdout
        assert running.state["Running"]
        running.stop()
        assert running.state["ExitCode"] == 0


def test_stop_while_python_starts(image: Image, tmp_path: Path) -> None:
    """The kernel drops a signal to process 1 that has no handler: the first import is late."""
    slow = tmp_path / "structlog.py"
    slow.write_text("import sys, time\nprint('importing', file=sys.stderr)\ntime.sleep(60)\n")
    tmp_path.chmod(0o755)
    with container(image.tag, f"--volume={tmp_path}:/slow:ro", PYTHONPATH="/slow") as running:
        eventually(lambda: "importing" in running.log(), "importing")
        seconds = running.stop()
        assert running.state["ExitCode"] == 0
        assert seconds < KILL_SECONDS


def test_stop_while_the_model_loads(start: Start) -> None:
    with start(BYOC_MODEL="models:Gated", GATED_LOAD="1") as running:
        eventually(lambda: running.health() == 503, "listening")
        seconds = running.stop()
        assert running.state["ExitCode"] == 0
        assert seconds < KILL_SECONDS


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
