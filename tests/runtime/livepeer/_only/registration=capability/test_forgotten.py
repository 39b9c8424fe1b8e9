"""However the orchestrator has forgotten the capability: within the interval it knows it again."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from emulator.container import Container, eventually
from harness import CAPABILITY
from orchestrator.server import OrchestratorServer, run_orchestrator
from registering import SECRET, free_port, wait_confirmed
from registrations import (
    UNREGISTER,
    ask,
    job_route,
    known,
    register_other,
    registrations,
    run_registered,
    tell,
)

# That of `run_registering`, and how much longer it may take.
INTERVAL_SECONDS, MARGIN_SECONDS = 1, 1
NOWHERE = "http://127.0.0.1:9"
DROPPED = "removing capability"


class Node:
    """An orchestrator that can be restarted, at the same address."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._port = stack.enter_context(free_port())
        self._open()

    def _open(self) -> None:
        self._running = ExitStack()
        server = run_orchestrator(port=self._port, secret=SECRET)
        self.orchestrator = self._running.enter_context(server)

    def restart(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with ExitStack() as stack:
        node = Node(stack)
        yield node
        node.close()


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory, node: Node) -> Iterator[Container]:
    with run_registered(tmp_path_factory.mktemp("forgotten"), node.orchestrator) as server:
        yield server


def unregistered(node: Node, _: Container) -> None:
    """By somebody else."""
    tell(node.orchestrator, UNREGISTER, content=CAPABILITY.encode())


def forgotten(node: Node, _: Container) -> None:
    node.orchestrator.forget()


def restarted(node: Node, _: Container) -> None:
    node.restart()


def transport_error(node: Node, _: Container) -> None:
    """A job did not reach the container (byoc/job_orchestrator.go)."""
    register_other(node.orchestrator, url=NOWHERE)
    drop(node.orchestrator, "/run")


def wrong_token(node: Node, server: Container) -> None:
    """The container answers 401."""
    url = known(node.orchestrator).url
    register_other(node.orchestrator, url=url, token="another")
    drop(node.orchestrator, job_route(server))


def drop(orchestrator: OrchestratorServer, path: str) -> None:
    """By a call."""
    answer = ask(orchestrator, f"/process/request{path}", json={})
    assert (answer.status_code, DROPPED in answer.text) == (500, True)


@pytest.mark.parametrize(
    "forget", [unregistered, forgotten, restarted, transport_error, wrong_token]
)
def test_it_is_known_again_within_the_interval(
    node: Node, server: Container, forget: Callable[[Node, Container], None]
) -> None:
    """At worst: when it has just been registered."""
    before = len(registrations(node.orchestrator))
    eventually(lambda: len(registrations(node.orchestrator)) > before, "registered")
    ours = known(node.orchestrator).url
    forget(node, server)
    since = time.monotonic()
    eventually(lambda: known(node.orchestrator).url == ours, "registered again")
    seconds = registrations(node.orchestrator)[-1].at - since
    assert seconds < INTERVAL_SECONDS + MARGIN_SECONDS
    wait_confirmed(server)
