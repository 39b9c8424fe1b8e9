"""Sessions go on while new ones are refused; the orchestrator is told to forget us after them."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.container import DEADLINE_SECONDS, Container, eventually
from guests import Guest, elsewhere, reserve
from harness import signal_again
from heartbeats import heartbeats, no_room, registered, runners, take_time, withdrawals
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, run_registering
from streaming import bunny, frames

SIZE = (160, 90)
CLIP = bunny(size=SIZE, frames=25, audio=False)
NEXT_CLIP = bunny(size=SIZE, frames=25, first=25, audio=False)
SETTINGS: dict[str, Any] = {
    "BYOC_CAPACITY": "3",
    "BYOC_DRAIN_SECONDS": "600",
    "BYOC_MAX_LATENCY_SECONDS": "20",
    "BYOC_SHUTDOWN_GRACE_SECONDS": "20",
}


@pytest.fixture
def orchestrator() -> Iterator[OrchestratorServer]:
    """What it is told, it is told at once: no heartbeat is due within a test."""
    with run_orchestrator(secret=SECRET, heartbeat_seconds=600, ttl_seconds=3600) as orchestrator:
        yield orchestrator


@pytest.fixture
def server(tmp_path: Path, orchestrator: OrchestratorServer) -> Iterator[Container]:
    with run_registering(tmp_path, orchestrator.url, **SETTINGS) as server:
        registered(orchestrator)
        yield server


def send(guest: Guest) -> None:
    """Half of what it will have sent."""
    guest.open()
    guest.publish(CLIP, speed=5).result(DEADLINE_SECONDS)


def is_received(guest: Guest) -> bool:
    return guest.input.get(guest.input.next_index) is not None


def finish(guest: Guest) -> None:
    """The other half; all of it has come out."""
    guest.publish(NEXT_CLIP, speed=5).result(DEADLINE_SECONDS)
    guest.finish()
    assert guest.stopped()["reason"] == "input_ended"
    assert len(frames(guest.output())) == 50


def told(orchestrator: OrchestratorServer) -> tuple[str, int, int]:
    body = heartbeats(orchestrator)[-1].body
    return body["status"], body["capacity"], len(body["session_ids"])


def test_sessions_end_by_themselves_before_the_withdrawal(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """1. Two of three places are taken. 2. Drain: the orchestrator is told that we are ready and
    full, and refuses new ones. 3. Both stream on to their end. 4. The withdrawal comes last.
    """
    orchestrator.fault = take_time
    with Guest(server, orchestrator) as one, Guest(server, orchestrator) as two:
        send(one)
        send(two)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: told(orchestrator) == ("ready", 2, 2), "full")
        assert no_room(reserve(orchestrator))
        finish(one)
        eventually(lambda: told(orchestrator) == ("ready", 1, 1), "less room")
        assert no_room(reserve(orchestrator))
        assert server.ops.get("/health").json() == {"status": "ok"}
        assert two.status()["state"] == "streaming"
        assert not withdrawals(orchestrator)
        finish(two)
    assert server.wait_exit() == 0
    (withdrawal,) = withdrawals(orchestrator)
    assert withdrawal.status == 204
    assert orchestrator.calls[-1] == withdrawal
    assert not runners(orchestrator)
    assert {call.body["status"] for call in heartbeats(orchestrator)} == {"ready"}
    assert not server.events("registration fails")


def test_a_stop_withdraws_after_the_last_frame(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """And gives each session back before; a second signal ends the drain."""
    with Guest(server, orchestrator) as one, Guest(server, orchestrator) as two:
        send(one)
        send(two)
        eventually(lambda: all(map(is_received, (one, two))), "input received")
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events("draining"), "draining")
        signal_again(server)
        assert server.wait_exit() == 0, server.log()
        eventually(lambda: one.events("stopped") and two.events("stopped"), "stopped")
        for guest in (one, two):
            assert guest.stopped()["reason"] == "shutdown"
            assert len(frames(guest.output())) == 25
    ends = [call.path.split("/")[-1] for call in list(orchestrator.calls)]
    ends = [end for end in ends if end in ("stop", "unregister")]
    assert ends == ["stop", "stop", "unregister"]
    assert orchestrator.calls[-1] == withdrawals(orchestrator)[0]


def test_who_is_forgotten_while_it_drains_does_not_come_back(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """It is told with the first session that ends, and the second one goes on."""
    with elsewhere(server, orchestrator) as one, elsewhere(server, orchestrator) as two:
        one.open()
        two.open()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: told(orchestrator) == ("ready", 2, 2), "full")
        orchestrator.forget()
        before = len(orchestrator.calls)
        one.end_input()
        eventually(lambda: heartbeats(orchestrator)[-1].status == 401, "not known")
        two.publish(CLIP, speed=5).result(DEADLINE_SECONDS)
        two.finish()
        assert len(frames(two.output())) == 25
    assert server.wait_exit() == 0
    assert {call.status for call in list(orchestrator.calls)[before:]} == {401}
    assert not runners(orchestrator)


def test_unregistering_what_is_already_gone_is_no_failure(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    with Guest(server, orchestrator) as guest:
        send(guest)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: told(orchestrator) == ("ready", 1, 1), "full")
        orchestrator.forget()
    assert server.wait_exit() == 0
    assert withdrawals(orchestrator)[0].status == 404
    assert not server.events("registration fails")


def test_a_caller_who_comes_with_a_reservation_from_before_is_refused(
    server: Container, orchestrator: OrchestratorServer
) -> None:
    """Over capacity as elsewhere: try again."""
    with Guest(server, orchestrator) as inside, Guest(server, orchestrator) as late:
        send(inside)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: told(orchestrator) == ("ready", 1, 1), "full")
        answer = late.start()
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "capacity")
        assert answer.headers["Retry-After"]
        headers = {"Livepeer-Session-Id": "not-reserved"}
        assert server.jobs.get("/stream/status", headers=headers).status_code == 503
        finish(inside)
    assert server.wait_exit() == 0
