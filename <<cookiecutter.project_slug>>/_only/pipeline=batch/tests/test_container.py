"""Tests your model in your container, with what sample.py says; nothing depends on the example."""

import mimetypes
import threading

import httpx
import pytest

from emulator.container import (
    DEADLINE_SECONDS,
    Container,
    StartContainer,
    StartError,
    eventually,
    health_polls,
)
from sample import JOB, WRONG

CONTENT_TYPE = mimetypes.guess_type(JOB)[0] or "application/octet-stream"
CALLERS = 4


def send(container: Container) -> httpx.Response:
    headers = {"Content-Type": CONTENT_TYPE}
    return container.jobs.post("/run", content=JOB.read_bytes(), headers=headers)


def test_the_sample_is_answered(container: Container) -> None:
    before = container.metric("byoc_frame_latency_ms_count") or 0
    answer = send(container)
    assert answer.status_code == 200, answer.text
    assert answer.content
    eventually(lambda: container.metric("byoc_sessions_active") == 0, "the session's end")
    eventually(lambda: container.metric("byoc_frame_latency_ms_count") == before + 1, "counted")


@pytest.mark.skipif(WRONG is None, reason="sample.py says that the model refuses nothing")
def test_a_wrong_job_is_refused_and_the_field_named(container: Container) -> None:
    assert WRONG
    job, field = WRONG
    before = container.errors("bad_request")
    answer = container.jobs.post("/run", json=job)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["field"]) == ("bad_request", field)
    assert error["message"]
    assert container.errors("bad_request") == before + 1


def test_a_crash_of_the_model_costs_no_more_than_a_try_again(container: Container) -> None:
    crashes = container.errors("worker_crash")
    restarts = container.metric("byoc_worker_restarts_total") or 0
    with health_polls(container):
        container.signal_model()
        eventually(
            lambda: container.metric("byoc_worker_restarts_total") == restarts + 1, "replaced"
        )
        eventually(lambda: send(container).status_code == 200, "the next job")
    assert container.errors("worker_crash") == crashes + 1


def test_a_wrong_setting_is_told_in_one_line(start: StartContainer) -> None:
    with pytest.raises(StartError) as refusal, start(BYOC_CAPACITY="none"):
        pass
    assert refusal.value.exit_code == 2
    (line,) = refusal.value.log.splitlines()
    assert line.startswith("BYOC_CAPACITY='none': ")


def test_stop_loses_no_job_that_was_accepted(start: StartContainer) -> None:
    """The container's log says which jobs were accepted, and how they ended."""
    answers: list[int] = []
    with start(BYOC_CAPACITY=str(CALLERS)) as container:
        stopping = threading.Event()

        def call() -> None:
            while not stopping.is_set():
                try:
                    answers.append(send(container).status_code)
                except httpx.ConnectError:  # nobody listens any more
                    return

        callers = [container.pool.submit(call) for _ in range(CALLERS)]
        eventually(lambda: answers.count(200) >= CALLERS, "jobs answered")
        container.process.terminate()
        eventually(lambda: container.events("admission closed"), "admission closed")
        stopping.set()
        for caller in callers:
            caller.result(DEADLINE_SECONDS)
        assert container.wait_exit() == 0, container.log()
        outcomes = [event["outcome"] for event in container.events("job ended")]
    assert set(outcomes) <= {"ok", "capacity"}
    assert answers.count(200) == outcomes.count("ok")
    assert len(answers) == len(outcomes)
