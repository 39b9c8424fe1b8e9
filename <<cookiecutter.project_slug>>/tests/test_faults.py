"""Everything that can happen to the model: counted, answered, and survived."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Server, StartServer, eventually, run_server, size


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model has 1 s for a job and one thread."""
    with run_server(
        tmp_path_factory.mktemp("faults"),
        BYOC_CAPACITY="8",
        BYOC_JOB_TIMEOUT_SECONDS="1",
        BYOC_MAX_BODY_BYTES="1000000",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def three_lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model may be called by three threads."""
    with run_server(
        tmp_path_factory.mktemp("parallel"),
        BYOC_CAPACITY="8",
        BYOC_JOB_TIMEOUT_SECONDS="2",
        CHAOS_PARALLEL="3",
    ) as server:
        yield server


@pytest.fixture
def parallel(three_lanes: Server) -> Server:
    """That server, once it is sound again."""
    eventually(lambda: three_lanes.do("echo").is_success)
    return three_lanes


def wait_for_restart(frail: Server, worker: int) -> None:
    eventually(lambda: frail.worker() != worker, "a new worker")
    eventually(lambda: frail.do("echo").status_code == 200, "jobs are served again")


@pytest.mark.parametrize(
    ("behaviour", "order", "status", "error_type"),
    [
        ("fail", {}, 500, "model_error"),
        ("leave", {}, 500, "model_error"),
        ("unsendable", {}, 500, "model_error"),
        ("not_a_number", {}, 500, "model_error"),
        ("bytes", {"size": 1_000_001}, 500, "model_error"),
        ("refuse", {}, 422, "bad_request"),
    ],
)
def test_a_failed_job_costs_only_itself(
    frail: Server, behaviour: str, order: dict[str, int], status: int, error_type: str
) -> None:
    worker, before = frail.worker(), frail.errors(error_type)
    answer = frail.do(behaviour, **order)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["type"] == error_type
    assert error["message"]
    assert "not for the caller" not in answer.text
    assert frail.errors(error_type) == before + 1
    assert frail.do("pid").json() == worker


def test_an_answer_of_the_limit_is_sent(frail: Server) -> None:
    assert frail.do("bytes", size=1_000_000).content == bytes(1_000_000)


@pytest.mark.parametrize(
    ("behaviour", "order", "status", "error_type"),
    [
        ("crash", {}, 503, "worker_crash"),
        ("exhaust", {}, 503, "out_of_memory"),
        ("wait", {"seconds": 600}, 504, "timeout"),
        ("hold", {"seconds": 600}, 504, "timeout"),
        ("spin", {"seconds": 600}, 504, "timeout"),
    ],
)
def test_a_lost_process_is_replaced(
    frail: Server, behaviour: str, order: dict[str, int], status: int, error_type: str
) -> None:
    worker, before = frail.worker(), frail.errors(error_type)
    restarts = frail.metric("byoc_worker_restarts_total") or 0
    answer = frail.do(behaviour, **order)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == error_type
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert frail.ops.get("/health").json() == {"status": "ok"}
    wait_for_restart(frail, worker)
    assert frail.errors(error_type) == before + 1
    assert frail.metric("byoc_worker_restarts_total") == restarts + 1


def test_a_kill_9_at_work_is_answered(frail: Server, tmp_path: Path) -> None:
    worker, mark = frail.worker(), tmp_path / "mark"
    job = frail.send("wait", seconds=0.9, mark=str(mark))
    eventually(lambda: size(mark))
    os.kill(worker, signal.SIGKILL)
    answer = job.result()
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "worker_crash")
    assert answer.headers["Retry-After"]
    wait_for_restart(frail, worker)


def test_a_kill_9_at_rest_is_counted(frail: Server) -> None:
    worker, before = frail.worker(), frail.errors("worker_crash")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: frail.errors("worker_crash") == before + 1)
    wait_for_restart(frail, worker)


def test_waiting_jobs_survive_a_crash(frail: Server, tmp_path: Path) -> None:
    worker, mark = frail.worker(), tmp_path / "mark"
    first = frail.send("wait", seconds=0.9, mark=str(mark))
    eventually(lambda: size(mark))
    waiting = [frail.send("echo") for _ in range(3)]
    eventually(lambda: frail.metric("byoc_sessions_active") == 4)
    os.kill(worker, signal.SIGKILL)
    assert first.result().status_code == 503
    assert [job.result().status_code for job in waiting] == [200, 200, 200]


def test_new_jobs_are_refused_while_the_model_restarts(
    start_server: StartServer, tmp_path: Path
) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    with start_server(
        CHAOS_LOAD="wait_for_file_when_second", CHAOS_MARK=str(mark), CHAOS_FILE=str(release)
    ) as server:
        worker = server.worker()
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: size(mark) == 2, "the model loads again")
        answer = server.do("echo")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "worker_crash")
        assert answer.headers["Retry-After"]
        for client in (server.jobs, server.ops):
            assert client.get("/health").json() == {"status": "ok"}
        release.touch()
        wait_for_restart(server, worker)


def test_neighbours_of_a_hang_are_tried_once_more(parallel: Server, tmp_path: Path) -> None:
    hung, neighbour = tmp_path / "hung", tmp_path / "neighbour"
    guilty = parallel.send("wait", seconds=600, mark=str(hung))
    eventually(lambda: size(hung) and time.time() > hung.stat().st_mtime + 1, "its time runs out")
    innocent = parallel.send("wait_when_first", mark=str(neighbour))
    assert guilty.result().status_code == 504
    assert innocent.result().json() == "survived"
    assert (size(hung), size(neighbour)) == (1, 2)


def test_neighbours_of_a_crash_are_tried_once_more(parallel: Server, tmp_path: Path) -> None:
    """Nobody knows which job killed the process, so the killer gets its second try too."""
    marks = [tmp_path / name for name in ("one", "two", "killer")]
    innocent = [parallel.send("wait_when_first", mark=str(mark)) for mark in marks[:2]]
    eventually(lambda: size(marks[0]) and size(marks[1]))
    guilty = parallel.send("crash", mark=str(marks[2]))
    assert [job.result().json() for job in innocent] == ["survived", "survived"]
    assert guilty.result().json()["error"]["type"] == "worker_crash"
    assert [size(mark) for mark in marks] == [2, 2, 2]


def test_a_model_that_allows_it_is_called_in_parallel(parallel: Server, tmp_path: Path) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    order = {"mark": str(mark), "file": str(release)}
    jobs = [parallel.send("wait_for_file", **order) for _ in range(4)]
    eventually(lambda: parallel.metric("byoc_sessions_active") == 4 and size(mark) == 3)
    release.touch()
    assert [job.result().status_code for job in jobs] == [200, 200, 200, 200]


def shared_memory(pid: int) -> list[str]:
    """The shared memory that a process has open or mapped."""
    files = [
        path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()
    ]
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [name for name in files + maps if "memfd:" in name or "/dev/shm" in name]


def test_nothing_is_left_after_any_end(start_server: StartServer, tmp_path: Path) -> None:
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
        server.send("hold", seconds=600, mark=str(mark))
        eventually(lambda: size(mark))
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{server.worker()}").exists(), "the worker is gone")
    assert set(Path("/dev/shm").iterdir()) <= named


def test_a_model_that_fails_to_load_ends_the_container(start_server: StartServer) -> None:
    with start_server(ready=False, CHAOS_LOAD="crash") as server:
        assert server.ops.get("/health").json() == {"status": "loading"}
        assert server.wait_exit() == 1
        assert len(server.events("worker failed to start")) == 3
        assert [event["reason"] for event in server.events("model unavailable")]


def test_a_model_that_loads_for_ever_ends_the_container(start_server: StartServer) -> None:
    with start_server(ready=False, CHAOS_LOAD="wait", BYOC_LOAD_TIMEOUT_SECONDS="0.8") as server:
        assert server.do("echo").status_code == 503
        assert server.wait_exit() == 1
        (event,) = server.events("model unavailable")
        assert "0.8 s" in event["reason"]


def test_a_model_that_can_not_be_imported_ends_the_container(start_server: StartServer) -> None:
    with start_server(ready=False, BYOC_MODEL="nowhere:Model") as server:
        assert server.wait_exit() == 1
        assert "No module named 'nowhere'" in server.log()
