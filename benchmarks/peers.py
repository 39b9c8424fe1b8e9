"""The servers, each with packages of its own, and the same model behind all of them."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from harness import TEMPLATE, bake

from .client import Call, Connection
from .rendering import hushed

INSTALL_SECONDS = 120
START_SECONDS = 30
FRAME = bytes(range(256)) * 2700  # 640 x 360 pixels of 3 bytes: 691,200
BINARY = "application/octet-stream"
GENERATED = "generated"
# Some machines set PYTHONDONTWRITEBYTECODE, which makes each start slow.
NOT_INHERITED = ("PYTHON", "VIRTUAL_ENV", "NOX_", "BYOC_", "UV_PROJECT_")


class Peer(NamedTuple):
    """In `command` and `variables`, {port} and {ops_port} are free ports.

    `raw` is the route that takes a body as it is; without one, a frame travels in base64 in JSON.
    `isolated`: the model has a process of its own. `pipeline`: it is generated, with this choice,
    and has packages that another server in its environment needs.
    """

    name: str
    packages: tuple[str, ...]
    command: str
    variables: Mapping[str, str] = MappingProxyType({})
    isolated: bool = False
    route: str = "/run"
    raw: str | None = None
    wrapper: str | None = None
    health: str = "/health"
    pipeline: str | None = None

    def job(self, do: str, **order: Any) -> Call:
        content = {"do": do, **order}
        body = json.dumps({self.wrapper: content} if self.wrapper else content)
        return Call(self.route, body.encode(), sign=f'"{do}"'.encode())

    def frame(self) -> Call:
        if self.raw:
            return Call(self.raw, FRAME, BINARY, least=len(FRAME))
        call = self.job("frame", frame=base64.b64encode(FRAME).decode())
        return call._replace(least=len(FRAME))


OURS = Peer(
    GENERATED,
    (),
    "python -m my_model",
    {
        "BYOC_HOST": "127.0.0.1",
        "BYOC_PORT": "{port}",
        "BYOC_OPS_PORT": "{ops_port}",
        "BYOC_CAPACITY": "16",
        "BYOC_MODEL": "benchmarks.servers.generated:Model",
    },
    isolated=True,
    raw="/run",
    pipeline="batch",
)

SERVERS = "benchmarks.servers"
FASTAPI = ("fastapi", "uvicorn[standard]")
UVICORN = f"uvicorn --host 127.0.0.1 --port {{port}} {SERVERS}.by_fastapi"
COG = "python -m cog.server.http --host 127.0.0.1"


def cog(runner: str, slots: int) -> dict[str, str]:
    return {
        "PORT": "{port}",
        "COG_PREDICT_TYPE_STUB": f"{Path(__file__).parent}/servers/by_cog.py:{runner}",
        "COG_MAX_CONCURRENCY": str(slots),
    }


PEERS = [
    OURS,
    Peer("FastAPI, async", FASTAPI, f"{UVICORN}:on_loop", raw="/frame"),
    Peer("FastAPI, thread pool", FASTAPI, f"{UVICORN}:on_threads", raw="/frame"),
    Peer(
        "LitServe",
        ("litserve",),
        f"python -m {SERVERS}.by_litserve {{port}}",
        isolated=True,
        route="/predict",
    ),
    Peer(
        "Cog, 1 slot",
        ("cog",),
        COG,
        cog("Runner", 1),
        isolated=True,
        route="/predictions",
        wrapper="input",
        health="/health-check",
    ),
    Peer(
        "Cog, 8 slots",
        ("cog",),
        COG,
        cog("AsyncRunner", 8),
        isolated=True,
        route="/predictions",
        wrapper="input",
        health="/health-check",
    ),
]


class UnavailableError(Exception):
    """The server can't be installed, or does not start."""


class Environments:
    """One for each set of packages, kept within the environment that this runs in.

    The generated container's is in `folder`, and made of the template as it is now.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, peer: Peer) -> Path:
        if peer.pipeline:
            return self._folder / "my-model" / ".venv"
        return Path(sys.prefix) / "servers" / "-".join(peer.packages)

    def make_all(self, peers: Iterable[Peer]) -> dict[str, str]:
        """Returns the names of those that could not be made, and why."""
        failures = {}
        for peer in peers:
            try:
                self._make(peer)
            except UnavailableError as error:
                failures[peer.name] = str(error)
        return failures

    def _make(self, peer: Peer) -> None:
        path = str(self.path(peer))
        python = f"--python={sys.executable}"
        if peer.pipeline:
            with hushed():
                project = bake(self._folder, pipeline=peer.pipeline)
            self._uv("sync", "--compile-bytecode", python, f"--project={project}")
        else:
            self._uv("venv", "--allow-existing", python, path)
        if peer.packages:
            self._uv("pip", "install", "--compile-bytecode", f"--python={path}", *peer.packages)

    def versions(self, peer: Peer) -> str:
        names = {package.split("[")[0] for package in peer.packages or FASTAPI}
        lines = self._uv("pip", "freeze", f"--python={self.path(peer)}").splitlines()
        return ", ".join(line.replace("==", " ") for line in lines if line.split("==")[0] in names)

    def _uv(self, *arguments: str) -> str:
        try:
            return subprocess.run(
                ["uv", *arguments],
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=True,
            ).stdout
        except subprocess.CalledProcessError as error:
            raise UnavailableError(error.stderr.strip().replace("\n", " ")) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(str(error)) from None


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}


class Server(NamedTuple):
    peer: Peer
    process: subprocess.Popen[bytes]
    port: int
    ops_port: int

    @property
    def health(self) -> list[tuple[int, Call]]:
        """Where to ask: the ports of a generated container (ops, jobs), or the peer's one."""
        ports = [self.ops_port, self.port] if self.peer is OURS else [self.port]
        return [(port, Call(self.peer.health)) for port in ports]

    def ask(self, port: int, call: Call, seconds: float = 1) -> bool:
        """Whether the right answer came in time."""
        with suppress(OSError), closing(Connection(port, time.monotonic() + seconds)) as connection:
            return connection.call(call, call.encode())
        return False


@contextmanager
def start(peer: Peer, environment: Path, folder: Path) -> Iterator[Server]:
    """The process, at once; it is killed at the end, with all that it has started."""
    anywhere = ("127.0.0.1", 0)
    with socket.create_server(anywhere) as one, socket.create_server(anywhere) as other:
        ports = {"port": one.getsockname()[1], "ops_port": other.getsockname()[1]}
    program, *arguments = peer.command.format(**ports).split()
    variables = {name: value.format(**ports) for name, value in peer.variables.items()}
    binaries = environment / "bin"
    variables |= {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(TEMPLATE)}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [binaries / program, *arguments],
            cwd=folder,
            env=clean_environment() | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Server(peer, process, **ports)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serve(peer: Peer, environment: Path, folder: Path) -> Iterator[Server]:
    """The same, once it has answered a job; raises UnavailableError when it doesn't."""
    with start(peer, environment, folder) as server:
        deadline = time.monotonic() + START_SECONDS
        while not server.ask(server.port, peer.job("echo")):
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise UnavailableError("it does not answer")
            time.sleep(0.05)
        yield server
