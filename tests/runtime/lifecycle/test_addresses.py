"""The addresses that it listens on, and that health checks find it there."""

import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection

import pytest

from emulator.container import (
    DEADLINE_SECONDS,
    PACKAGE,
    Container,
    StartContainer,
    eventually,
)


def version_6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_version_6 = pytest.mark.skipif(not version_6(), reason="this machine has no IPv6")
HOSTS = [
    *("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost"),
    *(pytest.param(host, marks=needs_version_6) for host in ("::", "::1")),
]


def ops_port(server: Container) -> int:
    (listening,) = server.events("listening")
    port: int = listening["ops_port"]
    return port


def ask(host: str, port: int) -> int:
    with closing(HTTPConnection(host, port, timeout=DEADLINE_SECONDS)) as connection:
        connection.request("GET", "/health")
        return connection.getresponse().status


def probe(port: int, path: str = "/health", **environment: str) -> subprocess.CompletedProcess[str]:
    """As a health check does, in the environment of the container."""
    return subprocess.run(
        [sys.executable, "-I", "-m", f"{PACKAGE}.runtime.ops.probe", path],
        env={"BYOC_OPS_PORT": str(port), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )


@needs_version_6
def test_two_colons_are_every_address(start_server: StartContainer) -> None:
    with start_server(BYOC_HOST="::") as server:
        for port in (server.port, ops_port(server)):
            assert [ask(host, port) for host in ("127.0.0.1", "::1")] == [200, 200]


@pytest.mark.parametrize("host", HOSTS)
def test_health_checks_find_it(host: str, start_server: StartContainer) -> None:
    with start_server(ready=False, BYOC_HOST=host) as server:
        port = ops_port(server)
        eventually(lambda: probe(port, BYOC_HOST=host).returncode == 0, "healthy")
        assert probe(port, "/livez", BYOC_HOST=host).returncode == 0


def test_a_health_check_says_what_is_wrong(start_server: StartContainer) -> None:
    with start_server(ready=False, CHAOS_LOAD="wait") as server:
        port = ops_port(server)
        loading = probe(port)
        assert (loading.returncode, loading.stderr) == (1, '{"status":"loading"}\n')
        assert probe(port, "/livez").returncode == 0
        assert server.stop() == 0
    gone = probe(port)
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"no answer from 127.0.0.1, port {port}: ConnectionRefused")
    assert gone.stderr.count("\n") == 1


@pytest.mark.parametrize("proxy", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_health_check_passes_by_a_proxy(server: Container, proxy: str) -> None:
    nowhere = {proxy: "http://127.0.0.1:9"}
    assert probe(ops_port(server), **nowhere).returncode == 0
