"""Jobs without a pause, while something is done to the container or its orchestrator."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from emulator.container import DEADLINE_SECONDS, Container
from orchestrator.server import OrchestratorServer
from runner_client import Client


@contextmanager
def working(server: Container, _: OrchestratorServer) -> Iterator[None]:
    """Each job that is sent to the container is answered."""
    done, results = threading.Event(), list[int]()

    def work() -> None:
        url = f"http://127.0.0.1:{server.port}/run"
        with httpx.Client(timeout=DEADLINE_SECONDS) as client:
            while not (done.is_set() and results):
                results.append(client.post(url, json={"do": "echo"}).status_code)
                done.wait(0.02)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()
    assert set(results) == {200}


def work_through(_: Container, orchestrator: OrchestratorServer) -> str:
    """A job on the way that callers have; the answer."""
    with Client(orchestrator) as client:
        (runner,) = client.discovered()
        answer = client.post(f"{runner['url']}/run", json={"do": "fail"})
    assert answer.status_code == 500
    return answer.text
