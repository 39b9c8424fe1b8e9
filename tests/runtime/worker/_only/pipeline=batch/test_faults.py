"""Everything that can happen to the model: counted, answered, and survived."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.container import Container, StartContainer, eventually
from harness import run_server, size
from jobs import do, send

# Over 1 MiB as JSON.
LONG = "é" * 200_000
# Nothing of it is an answer.
GARBAGE: list[dict[str, Any]] = [
    {"line": "no JSON\n"},
    {"line": "\xff\n"},
    {"line": "{}\n"},
    {"line": "[]\n"},
    {"line": 100_000 * "[" + "\n"},
    {"line": "x", "times": 2_000_000},
    {"line": '["unknown"]\n'},
    {"line": '["answer", 1000001]\n'},
    {"line": '["answer", -1]\n'},
    {"line": '["answer", 1, "text/plain", "auth"]\n'},
    {"line": '["error", 0, "", "model_error", "", null, 1]\n'},
]


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A server whose model has 1 s for a job and one thread."""
    with run_server(
        tmp_path_factory.mktemp("faults"),
        BYOC_CAPACITY="8",
        BYOC_JOB_TIMEOUT_SECONDS="1",
        BYOC_MAX_BODY_BYTES="1000000",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def three_threads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A server whose model may be called by three threads."""
    with run_server(
        tmp_path_factory.mktemp("parallel"),
        BYOC_CAPACITY="8",
        BYOC_JOB_TIMEOUT_SECONDS="2",
        CHAOS_PARALLEL="3",
    ) as server:
        yield server


@pytest.fixture
def parallel(three_threads: Container) -> Container:
    """That server, once it is sound again."""
    eventually(lambda: do(three_threads, "echo").is_success, "a job answered")
    return three_threads


def kill_worker(server: Container) -> None:
    """And wait for the next one, of which nothing else is asked."""
    worker = server.worker()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: server.worker() != worker, "a new worker")


def wait_for_restart(server: Container, worker: int) -> None:
    eventually(lambda: server.worker() != worker, "a new worker")
    eventually(lambda: do(server, "echo").status_code == 200, "jobs are served again")


@pytest.mark.parametrize(
    ("behaviour", "order", "status", "error_type"),
    [
        ("fail", {}, 500, "model_error"),
        ("leave", {}, 500, "model_error"),
        ("unsendable", {}, 500, "model_error"),
        ("not_a_number", {}, 500, "model_error"),
        ("raw_bytes", {}, 500, "model_error"),
        ("bytes", {"size": 1_000_001}, 500, "model_error"),
        ("refuse", {}, 422, "bad_request"),
        ("repeat", {"text": LONG}, 422, "bad_request"),
        ("bytes", {"size": 1, "kind": LONG}, 500, "model_error"),
    ],
)
def test_a_failed_job_costs_only_itself(
    frail: Container, behaviour: str, order: dict[str, Any], status: int, error_type: str
) -> None:
    worker, before = frail.worker(), frail.errors(error_type)
    answer = do(frail, behaviour, **order)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["type"] == error_type
    assert error["message"]
    assert len(error["message"]) <= 2000
    assert len(error["field"] or "") <= 200
    assert "size" not in order or order["size"] == 1 or "BYOC_MAX_BODY_BYTES" in error["message"]
    assert "not for the caller" not in answer.text
    assert frail.errors(error_type) == before + 1
    assert do(frail, "pid").json() == worker


def test_an_answer_of_the_limit_is_sent(frail: Container) -> None:
    assert do(frail, "bytes", size=1_000_000).content == bytes(1_000_000)


@pytest.mark.parametrize(
    ("behaviour", "order", "status", "error_type"),
    [
        ("crash", {}, 503, "worker_crash"),
        ("exhaust", {}, 503, "out_of_memory"),
        ("wait", {"seconds": 600}, 504, "timeout"),
        ("hold", {"seconds": 600}, 504, "timeout"),
        ("spin", {"seconds": 600}, 504, "timeout"),
        *(("garble", order, 503, "worker_crash") for order in GARBAGE),
    ],
)
def test_a_lost_process_is_replaced(
    frail: Container, behaviour: str, order: dict[str, Any], status: int, error_type: str
) -> None:
    worker, before = frail.worker(), frail.errors(error_type)
    restarts = frail.metric("byoc_worker_restarts_total") or 0
    answer = do(frail, behaviour, **order)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == error_type
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert frail.ops.get("/health").json() == {"status": "ok"}
    wait_for_restart(frail, worker)
    assert frail.errors(error_type) == before + 1
    assert frail.metric("byoc_worker_restarts_total") == restarts + 1
    assert not frail.events("worker served badly")


def test_the_parts_of_a_stream_share_the_jobs_time(frail: Container) -> None:
    worker = frail.worker()
    answer = do(frail, "drip", seconds=0.3)
    assert 1 <= answer.text.count('"drop"') <= 3
    assert '"type": "timeout"' in answer.text
    wait_for_restart(frail, worker)


def test_what_the_model_has_started_ends_with_it(frail: Container) -> None:
    worker, child = frail.worker(), do(frail, "child").json()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not runs(child), "the child is gone")
    wait_for_restart(frail, worker)


def runs(pid: int) -> bool:
    """Whether the process is more than an entry that nobody has collected."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_kill_9_at_work_is_answered(frail: Container, tmp_path: Path) -> None:
    worker, mark = frail.worker(), tmp_path / "mark"
    job = send(frail, "wait", seconds=0.9, mark=str(mark))
    eventually(lambda: size(mark), "the model has got there")
    os.kill(worker, signal.SIGKILL)
    answer = job.result()
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "worker_crash")
    assert answer.headers["Retry-After"]
    wait_for_restart(frail, worker)


def test_a_kill_9_at_rest_is_counted(frail: Container) -> None:
    worker, before = frail.worker(), frail.errors("worker_crash")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: frail.errors("worker_crash") == before + 1, "worker_crash counted")
    wait_for_restart(frail, worker)


def test_waiting_jobs_survive_a_crash(frail: Container, tmp_path: Path) -> None:
    worker, mark = frail.worker(), tmp_path / "mark"
    first = send(frail, "wait", seconds=0.9, mark=str(mark))
    eventually(lambda: size(mark), "the model has got there")
    waiting = [send(frail, "echo") for _ in range(3)]
    eventually(lambda: frail.metric("byoc_sessions_active") == 4, "4 sessions open")
    os.kill(worker, signal.SIGKILL)
    assert first.result().status_code == 503
    assert [job.result().status_code for job in waiting] == [200, 200, 200]


def test_jobs_are_refused_while_the_model_loads(start_server: StartContainer) -> None:
    with start_server(ready=False, CHAOS_LOAD="wait") as server:
        answer = do(server, "echo")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "capacity")


def test_new_jobs_are_refused_while_the_model_restarts(
    start_server: StartContainer, tmp_path: Path
) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    with start_server(
        CHAOS_LOAD="wait_for_file_when_second", CHAOS_MARK=str(mark), CHAOS_FILE=str(release)
    ) as server:
        worker = server.worker()
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: size(mark) == 2, "the model loads again")
        answer = do(server, "echo")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "capacity")
        assert answer.headers["Retry-After"]
        for client in (server.jobs, server.ops):
            assert client.get("/health").json() == {"status": "ok"}
        release.touch()
        wait_for_restart(server, worker)


def test_neighbours_of_a_hang_are_tried_once_more(parallel: Container, tmp_path: Path) -> None:
    hung, neighbour = tmp_path / "hung", tmp_path / "neighbour"
    guilty = send(parallel, "wait", seconds=600, mark=str(hung))
    eventually(lambda: size(hung) and time.time() > hung.stat().st_mtime + 1, "its time runs out")
    innocent = send(parallel, "wait_when_first", mark=str(neighbour))
    assert guilty.result().status_code == 504
    assert innocent.result().json() == "survived"
    assert (size(hung), size(neighbour)) == (1, 2)


def test_neighbours_of_a_crash_are_tried_once_more(parallel: Container, tmp_path: Path) -> None:
    """Nobody knows which job killed the process, so the killer gets its second try too.

    1. Two jobs run beside the killer. 2. It crashes. 3. The two are tried again and answered.
    4. The killer is tried again, beside a new job. 5. It crashes again. 6. So is the new job.
    """
    marks = [tmp_path / name for name in ("one", "two", "killer", "new")]
    crash = tmp_path / "crash"
    innocent = [send(parallel, "wait_when_first", mark=str(mark)) for mark in marks[:2]]
    eventually(lambda: size(marks[0]) and size(marks[1]), "the model has got there")
    guilty = send(parallel, "crash_twice", mark=str(marks[2]), file=str(crash))
    assert [job.result().json() for job in innocent] == ["survived", "survived"]
    eventually(lambda: size(marks[2]) == 2, "the model has got there")
    innocent.append(send(parallel, "wait_when_first", mark=str(marks[3])))
    eventually(lambda: size(marks[3]), "the model has got there")
    crash.touch()
    assert guilty.result().json()["error"]["type"] == "worker_crash"
    assert innocent[-1].result().json() == "survived"
    assert [size(mark) for mark in marks] == [2, 2, 2, 2]


def test_a_job_that_kills_twice_takes_nobody_along(parallel: Container, tmp_path: Path) -> None:
    """On their second try the jobs go one by one: together, the others would be lost with it."""
    marks = [tmp_path / name for name in ("one", "two", "killer")]
    innocent = [send(parallel, "wait_when_first", mark=str(mark), then=0.3) for mark in marks[:2]]
    eventually(lambda: size(marks[0]) and size(marks[1]), "the model has got there")
    guilty = send(parallel, "crash", mark=str(marks[2]))
    assert [job.result().json() for job in innocent] == ["survived", "survived"]
    assert guilty.result().json()["error"]["type"] == "worker_crash"
    assert [size(mark) for mark in marks] == [2, 2, 2]


def test_a_stream_that_has_begun_is_not_begun_again(parallel: Container, tmp_path: Path) -> None:
    mark, neighbour = tmp_path / "mark", tmp_path / "neighbour"
    order = {"do": "stream", "values": [1], "then": "wait", "seconds": 600, "mark": str(mark)}
    innocent = send(parallel, "wait_when_first", mark=str(neighbour))
    eventually(lambda: size(neighbour), "the model has got there")
    with parallel.jobs.stream("POST", "/run", json=order) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: 1"
        os.kill(parallel.worker(), signal.SIGKILL)
        assert "event: error" in list(lines)
    assert innocent.result().json() == "survived"
    assert size(mark) == 1


def test_a_model_that_allows_it_is_called_in_parallel(parallel: Container, tmp_path: Path) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    jobs = [send(parallel, "wait_for_file", **order) for _ in range(4)]
    eventually(
        lambda: parallel.metric("byoc_sessions_active") == 4 and size(mark) == 3, "4 sessions open"
    )
    release.touch()
    assert [job.result().status_code for job in jobs] == [200, 200, 200, 200]


def shared_memory(pid: int) -> list[str]:
    """The shared memory that a process has open or mapped."""
    files = [
        path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()
    ]
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [name for name in files + maps if "memfd:" in name or "/dev/shm" in name]


def test_nothing_is_left_after_any_end(start_server: StartContainer, tmp_path: Path) -> None:
    """1. The worker is killed. 2. The supervisor is, while the model holds the interpreter lock."""
    mark = tmp_path / "mark"
    named = set(Path("/dev/shm").iterdir())
    with start_server() as server:
        supervisor = server.process.pid
        headers = {"Content-Type": "a/b"}
        assert server.jobs.post("/run", content=bytes(1_000_000), headers=headers).is_success
        held = len(shared_memory(supervisor))
        assert held
        for _ in range(2):
            worker = server.worker()
            os.kill(worker, signal.SIGKILL)
            wait_for_restart(server, worker)
        assert len(shared_memory(supervisor)) == held
        assert set(Path("/dev/shm").iterdir()) <= named
        send(server, "hold", seconds=600, mark=str(mark))
        eventually(lambda: size(mark), "the model has got there")
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{server.worker()}").exists(), "the worker is gone")
    assert set(Path("/dev/shm").iterdir()) <= named


def test_restarts_back_off_and_only_failures_in_a_row_count(
    start_server: StartContainer, tmp_path: Path
) -> None:
    mark = str(tmp_path / "mark")
    with start_server(CHAOS_LOAD="start_by_plan", CHAOS_PLAN="+--+-+", CHAOS_MARK=mark) as server:
        kill_worker(server)
        assert do(server, "echo").is_success
        kill_worker(server)
        pauses = [event["after_seconds"] for event in server.events("model starts again")]
        assert pauses == [0.1, 0.2, 0.4, 0, 0.1]


def test_jobs_that_wait_are_answered_when_the_model_is_given_up(
    start_server: StartContainer, tmp_path: Path
) -> None:
    starts, mark = tmp_path / "starts", tmp_path / "mark"
    with start_server(
        BYOC_CAPACITY="2", CHAOS_LOAD="start_by_plan", CHAOS_PLAN="+---", CHAOS_MARK=str(starts)
    ) as server:
        jobs = [send(server, "wait", seconds=600, mark=str(mark)) for _ in range(2)]
        eventually(
            lambda: size(mark) and server.metric("byoc_sessions_active") == 2, "2 sessions open"
        )
        os.kill(server.worker(), signal.SIGKILL)
        for job in jobs:
            answer = job.result()
            assert (answer.status_code, answer.json()["error"]["type"]) == (503, "worker_crash")
        assert server.wait_exit() == 1
