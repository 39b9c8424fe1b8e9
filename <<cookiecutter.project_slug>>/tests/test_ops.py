"""The ops port answers whatever the model and the main loop are doing."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from <<cookiecutter.package_name>>.errors import ERROR_TYPES

from harness import PACKAGE, Server, StartServer, eventually

POLL_SECONDS = 3  # how long an orchestrator waits for one answer
FEWEST_POLLS = 5  # on a slow machine; where health waits for the model there are one or two


@contextmanager
def health_polls(server: Server) -> Iterator[list[float]]:
    """Ask for `/health` without a pause; each answer must be 200 `ok` within the poll's time."""
    seconds: list[float] = []
    failures: list[str] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            started = time.perf_counter()
            try:
                answer = server.ops.get("/health", timeout=POLL_SECONDS)
                if answer.json() != {"status": "ok"}:
                    failures.append(answer.text)
            except httpx.HTTPError as error:
                failures.append(repr(error))
            seconds.append(time.perf_counter() - started)
            done.wait(0.005)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seconds
    finally:
        done.set()
        thread.join(2 * POLL_SECONDS)
    assert not failures


@pytest.mark.parametrize("behaviour", ["wait", "spin", "hold"])
def test_health_while_eight_clients_keep_the_model_busy(server: Server, behaviour: str) -> None:
    with health_polls(server) as polls:
        jobs = [server.send(behaviour, seconds=0.1) for _ in range(8)]
        assert [job.result().status_code for job in jobs] == 8 * [200]
    assert len(polls) >= FEWEST_POLLS


def test_health_while_the_model_holds_the_interpreter_lock(server: Server) -> None:
    """For longer than a poll may take: a thread beside the model would miss it."""
    with health_polls(server) as polls:
        assert server.do("hold", seconds=POLL_SECONDS + 0.2).json() == "held"
    assert len(polls) >= FEWEST_POLLS


def test_health_while_eight_clients_flood_the_job_port(server: Server) -> None:
    done = threading.Event()
    counts = dict.fromkeys(range(8), 0)

    def flood(client: int) -> None:
        with httpx.Client(base_url=server.jobs.base_url) as jobs:
            while not done.is_set():
                counts[client] += jobs.post("/run", json={"do": "echo"}).status_code == 200

    threads = [threading.Thread(target=flood, args=(client,)) for client in counts]
    with health_polls(server) as polls:
        for thread in threads:
            thread.start()
        eventually(lambda: len(polls) >= FEWEST_POLLS and min(counts.values()) >= 10)
        done.set()
        for thread in threads:
            thread.join(POLL_SECONDS)


# SIGUSR2 blocks the main loop.
BLOCKED = f"""
import runpy, signal, time
import {PACKAGE}.ops.health
{PACKAGE}.ops.health.STALLED_SECONDS = 1.5
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(600))
runpy.run_module({PACKAGE!r}, run_name="__main__")
"""


def test_the_ops_port_while_the_main_loop_is_blocked(start_server: StartServer) -> None:
    """Health and metrics go on; when it does not end, liveness asks for a restart."""
    with start_server(arguments=["-c", BLOCKED]) as server:
        assert server.ops.get("/livez").json() == {"status": "ok", "pid": server.process.pid}
        server.process.send_signal(signal.SIGUSR2)
        eventually(lambda: not answers(server.jobs), "the job port is silent")
        with health_polls(server) as polls:
            assert server.metric("byoc_sessions_active") == 0
            eventually(lambda: server.ops.get("/livez").status_code == 503, "stalled")
        assert len(polls) >= FEWEST_POLLS


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health", timeout=0.2).is_success
    except httpx.TimeoutException:
        return False


def test_the_metrics_of_the_checklist_are_there_from_the_start(start_server: StartServer) -> None:
    with start_server(ready=False, BYOC_CAPACITY="7", CHAOS_LOAD="wait") as server:
        families = {family.name: family for family in parse_text(server.ops.get("/metrics").text)}
    assert families["byoc_sessions_active"].type == "gauge"
    assert families["byoc_frame_latency_ms"].type == "histogram"
    assert families["byoc_gpu_memory_bytes"].type == "gauge"
    assert families["byoc_errors"].type == "counter"
    errors = {sample.labels["type"]: sample.value for sample in families["byoc_errors"].samples}
    assert set(errors) == set(ERROR_TYPES)
    assert errors.pop("nvml") <= 1, "the driver may be missing here, which counts once"
    assert not any(errors.values())
    assert families["byoc_capacity"].samples[0].value == 7


def test_jobs_are_counted_and_timed(server: Server) -> None:
    names = ("byoc_frame_latency_ms_count", "byoc_frames_in_total", "byoc_frames_out_total")
    before = [server.metric(name) or 0 for name in names]
    slow = server.metric("byoc_frame_latency_ms_bucket", le="100.0") or 0
    ok = server.metric("byoc_sessions_total", outcome="ok") or 0
    assert server.do("wait", seconds=0.11).is_success
    assert server.do("fail").status_code == 500
    after = [server.metric(name) for name in names]
    assert after == [before[0] + 2, before[1] + 2, before[2] + 1]
    assert server.metric("byoc_frame_latency_ms_bucket", le="100.0") == slow + 1
    assert server.metric("byoc_sessions_total", outcome="ok") == ok + 1


def test_openmetrics_is_spoken_to_who_asks_for_it(server: Server) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = server.ops.get("/metrics", headers=headers)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(answer.text)  # type: ignore[no-untyped-call]
    assert "byoc_errors" in {family.name for family in families}
    assert server.ops.get("/metrics").headers["Content-Type"].startswith("text/plain")
