"""What the ops port tells, whatever the model works on."""

import signal
import subprocess

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from emulator.container import PACKAGE, Container, StartContainer, eventually, health_polls
from harness import FEWEST_POLLS
from my_model.runtime.errors import ERROR_TYPES
from my_model.runtime.worker.metrics import WorkerMetrics

# SIGUSR2 blocks the main loop.
BLOCKED = f"""
import runpy, signal, time
import {PACKAGE}.runtime.health
{PACKAGE}.runtime.health.STALLED_SECONDS = 1.5
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(600))
runpy.run_module({PACKAGE!r}, run_name="__main__")
"""


def test_the_ops_port_while_the_main_loop_is_blocked(start_server: StartContainer) -> None:
    """Health and metrics go on; when it does not end, liveness asks for a restart."""
    with start_server(arguments=["-c", BLOCKED]) as server:
        assert server.ops.get("/livez").json() == {"status": "ok"}
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


def test_the_metrics_of_the_checklist_are_there_from_the_start(
    start_server: StartContainer,
) -> None:
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


def test_openmetrics_is_spoken_to_who_asks_for_it(server: Container) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = server.ops.get("/metrics", headers=headers)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(answer.text)  # type: ignore[no-untyped-call]
    assert "byoc_errors" in {family.name for family in families}
    assert server.ops.get("/metrics").headers["Content-Type"].startswith("text/plain")


def test_both_processes_are_measured(start_server: StartContainer) -> None:
    """The main process, and the model's that runs now."""
    with start_server() as server:
        for prefix in ("process", "byoc_model_process"):
            assert (server.metric(f"{prefix}_cpu_seconds_total") or 0) > 0
            assert (server.metric(f"{prefix}_resident_memory_bytes") or 0) > 0
        started = server.metric("byoc_model_process_start_time_seconds") or 0
        server.signal_model()
        eventually(lambda: len(server.events("model loaded")) == 2, "the model is back")
        assert (server.metric("byoc_model_process_start_time_seconds") or 0) > started


def test_a_model_without_a_process_is_not_measured() -> None:
    """None has come up, or it has gone."""
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    assert b"byoc_model_process" not in generate_latest(registry)
    with subprocess.Popen("cat", stdin=subprocess.PIPE) as process:
        metrics.pid = process.pid
        assert b"byoc_model_process_cpu_seconds_total" in generate_latest(registry)
    assert b"byoc_model_process" not in generate_latest(registry)
