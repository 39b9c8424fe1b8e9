"""Jobs that have been accepted are answered, and new ones no longer asked for."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from capability_jobs import job, stream
from emulator.container import DEADLINE_SECONDS, Container, eventually
from harness import CAPABILITY
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET
from registrations import UNREGISTER, is_known, run_registered, words

SETTINGS = {
    "BYOC_CAPACITY": "4",
    "BYOC_DRAIN_SECONDS": "60",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "60",
}
# Without a drain; and it is not by chance that the withdrawal comes soon.
AT_ONCE = {"BYOC_DRAIN_SECONDS": "0", "BYOC_REGISTRATION_INTERVAL_SECONDS": "3600"}
# Longer than the interval of the others.
WHILE_SECONDS = 1.3
NOBODY = "No capacity available for capability\n"


def job_of_ones_own(server: Container, order: dict[str, str]) -> socket.socket:
    """Sent to the container itself."""
    body = json.dumps(order).encode()
    caller = socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS)
    token, size = server.jobs.headers["Authorization"], len(body)
    head = f"POST /run HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: {size}"
    caller.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)
    return caller


def nothing_is_told(server: Container, orchestrator: OrchestratorServer) -> None:
    """Whatever happens meanwhile."""
    told = len(words(orchestrator))
    assert server.jobs.post("/run", headers={"Authorization": ""}).status_code == 401
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(WHILE_SECONDS)
    assert words(orchestrator)[told:] == []


@pytest.mark.parametrize("changes", [{}, AT_ONCE], ids=["drain", "stop"])
def test_what_is_open_is_answered_after_the_withdrawal(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    """1. Jobs and events. 2. SIGTERM: the name is taken back at once, so that the orchestrator
    refuses new ones. 3. Nobody brings it back: not time, not a 401, not a caller who hangs up.
    4. All are answered.
    """
    release = tmp_path / "release"
    order = {"file": str(release)}
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registered(tmp_path, orchestrator, **SETTINGS | changes) as server,
        job_of_ones_own(server, {"do": "wait_for_file", **order}) as impatient,
    ):
        jobs = [server.pool.submit(job, orchestrator, "wait_for_file", **order) for _ in range(2)]
        events = server.pool.submit(
            stream, orchestrator, values=[1, 2], then="wait_for_file", **order
        )
        eventually(lambda: server.metric("byoc_sessions_active") == 4, "four sessions")

        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not is_known(orchestrator), "withdrawn")
        last = words(orchestrator)[-1]
        assert (last.path, last.body) == (UNREGISTER, CAPABILITY)
        eventually(lambda: server.metric("byoc_registered") == 0, "confirmed")
        refused = job(orchestrator, "echo")
        assert (refused.status_code, refused.text) == (503, NOBODY)
        impatient.close()
        eventually(lambda: server.metric("byoc_sessions_active") == 3, "the caller has gone")
        nothing_is_told(server, orchestrator)
        assert server.ops.get("/health").json() == {"status": "ok"}

        release.touch()
        assert [it.result().json() for it in jobs] == 2 * ["seen"]
        assert events.result() == [1, 2]
        assert server.wait_exit() == 0
        assert words(orchestrator)[-1] == last
        assert not server.events("registration fails")
