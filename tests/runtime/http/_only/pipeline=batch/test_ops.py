"""The ops port answers whatever the model is doing."""

import threading

import httpx
import pytest

from emulator.container import POLL_SECONDS, Container, eventually, health_polls
from harness import FEWEST_POLLS
from jobs import do, send


@pytest.mark.parametrize("behaviour", ["wait", "spin", "hold"])
def test_health_while_eight_clients_keep_the_model_busy(server: Container, behaviour: str) -> None:
    with health_polls(server) as polls:
        jobs = [send(server, behaviour, seconds=0.1) for _ in range(8)]
        assert [job.result().status_code for job in jobs] == 8 * [200]
    assert len(polls) >= FEWEST_POLLS


def test_health_while_the_model_holds_the_interpreter_lock(server: Container) -> None:
    """For longer than a poll may take: a thread beside the model would miss it."""
    with health_polls(server) as polls:
        assert do(server, "hold", seconds=POLL_SECONDS + 0.2).json() == "held"
    assert len(polls) >= FEWEST_POLLS


def test_health_while_eight_clients_flood_the_job_port(server: Container) -> None:
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
        eventually(
            lambda: len(polls) >= FEWEST_POLLS and min(counts.values()) >= 10,
            "polls and jobs enough",
        )
        done.set()
        for thread in threads:
            thread.join(POLL_SECONDS)


def test_jobs_are_counted_and_timed(server: Container) -> None:
    names = ("byoc_frame_latency_ms_count", "byoc_frames_in_total", "byoc_frames_out_total")
    before = [server.metric(name) or 0 for name in names]
    slow = server.metric("byoc_frame_latency_ms_bucket", le="100.0") or 0
    ok = server.metric("byoc_sessions_total", outcome="ok") or 0
    assert do(server, "wait", seconds=0.11).is_success
    assert do(server, "fail").status_code == 500
    # Counted once the answer has gone out.
    expected = [before[0] + 2, before[1] + 2, before[2] + 1]
    eventually(lambda: [server.metric(name) for name in names] == expected, "both counted")
    assert server.metric("byoc_frame_latency_ms_bucket", le="100.0") == slow + 1
    assert server.metric("byoc_sessions_total", outcome="ok") == ok + 1
