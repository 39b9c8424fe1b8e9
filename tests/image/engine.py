"""Docker's own command line, and one running container with its two ports."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

DEADLINE_SECONDS = 60
KILL_SECONDS = 10  # what `docker stop` allows by default
JOBS, OPS = 8000, 8001
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp:exec",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)


type Start = Callable[..., AbstractContextManager[Container]]


class Image(NamedTuple):
    """An image, the repository it was built from, and that repository's answers."""

    tag: str
    root: Path
    answers: dict[str, str]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]  # names in small letters
    body: bytes


def run(*arguments: str | Path, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """One docker command, whatever becomes of it."""
    return subprocess.run(
        ["docker", *arguments],
        env=os.environ | {"DOCKER_BUILDKIT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )


def docker(*arguments: str | Path) -> str:
    """What a docker command prints; it must succeed."""
    done = run(*arguments)
    assert done.returncode == 0, f"docker {' '.join(map(str, arguments))}\n{done.stdout}"
    return done.stdout.strip()


def build(root: Path, tag: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Build the repository as it is; the build is lent the certificates trusted here."""
    bundle = os.environ.get("SSL_CERT_FILE")
    secret = [f"--secret=id=ca-certificates,src={bundle}"] if bundle else []
    return run("build", "--tag", tag, *secret, *options, root)


def inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found


def eventually[T](get: Callable[[], T], what: str) -> T:
    """The first true value of `get`, asked again and again until the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := get()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.05)
    return value


class Container:
    """Reached at its own address, so that nothing stands between the client and the server."""

    def __init__(self, name: str) -> None:
        self.name = name
        (network,) = inspect(name)["NetworkSettings"]["Networks"].values()
        self.address: str = network["IPAddress"]
        self.gateway: str = network["Gateway"]  # this machine, as the container knows it

    def connect(self, port: int = JOBS) -> HTTPConnection:
        return HTTPConnection(self.address, port, timeout=DEADLINE_SECONDS)

    def request(
        self, method: str, path: str, body: bytes = b"", *, port: int = JOBS, **headers: str
    ) -> Answer:
        """One request on a connection of its own; `_` in a header's name stands for `-`."""
        connection = self.connect(port)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def run(self, body: bytes, content_type: str = "application/json") -> Answer:
        return self.request("POST", "/run", body, Content_Type=content_type)

    def health(self, port: int = OPS) -> int:
        """The status code; 0 as long as nobody listens."""
        try:
            return self.request("GET", "/health", port=port).status
        except OSError:
            return 0

    def wait_healthy(self, port: int = OPS) -> None:
        def healthy() -> bool:
            assert self.state["Running"], f"the container has ended\n{self.log()}"
            return self.health(port) == 200

        eventually(healthy, "healthy")

    def metric(self, sample: str) -> float:
        """The value of a sample, written as in the text that Prometheus reads."""
        text = self.request("GET", "/metrics", port=OPS).body.decode()
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        assert found, f"{sample} is not in\n{text}"
        return float(found[1])

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = inspect(self.name)["State"]
        return state

    def log(self) -> str:
        return docker("logs", self.name)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines with this event."""
        lines = (line for line in self.log().splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run("exec", self.name, *command)

    def signal(self, name: str) -> None:
        docker("kill", f"--signal={name}", self.name)

    def stop(self) -> float:
        """`docker stop` as operators type it; the seconds it took."""
        started = time.monotonic()
        docker("stop", self.name)
        return time.monotonic() - started


@contextmanager
def container(image: str, *options: str, **environment: str) -> Iterator[Container]:
    """A hardened container, removed at the end with its volumes."""
    variables = [f"--env={name}={value}" for name, value in environment.items()]
    name = docker("create", *HARDENED, *variables, *options, image)
    try:
        docker("start", name)
        yield Container(name)
    finally:
        docker("rm", "--force", "--volumes", name)
