"""A hardened container serves: read-only, without capabilities, with a /tmp that is memory."""

import json
import shutil
import subprocess

import pytest

from image.engine import HARDENED, OPS, Container, Image, container, docker, eventually, inspect

# Where the standard library, and most others, look: for settings, caches and a scratch file, and
# for what they have compiled and load.
LIBRARIES = """
import getpass, mmap, os, tempfile
from pathlib import Path

assert getpass.getuser()
for folder in (Path.home() / ".config", "~/.cache", os.environ["XDG_CACHE_HOME"]):
    made = Path(folder, "library").expanduser()
    made.mkdir(parents=True, exist_ok=True)
    made.joinpath("file").write_text("")
with tempfile.NamedTemporaryFile() as file:
    file.write(bytes(mmap.PAGESIZE))
    file.flush()
    mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC)
print(os.getuid(), "written loaded")
"""


@pytest.fixture(scope="module")
def check(image: Image) -> list[str]:
    """The image's own health check, as a command."""
    command: list[str] = inspect(image.tag)["Config"]["Healthcheck"]["Test"][1:]
    return command


def test_server_is_process_1_and_nobody(server: Container) -> None:
    livez = server.request("GET", "/livez", port=OPS)
    assert (livez.status, json.loads(livez.body)) == (200, {"status": "ok"})
    assert server.execute("id", "-u").stdout.split() == ["10001"]


def test_nothing_can_be_written_but_memory(server: Container) -> None:
    for folder in ("/", "/models", "/opt/venv", "/var/tmp"):
        assert server.execute("touch", f"{folder}/file").returncode != 0, folder
    assert server.execute("stat", "-fc%T", "/tmp").stdout.split() == ["tmpfs"]


@pytest.mark.parametrize("user", ["10001:10001", "12345:0", "12345"])
def test_libraries_find_a_place_to_write_whoever_the_user_is(image: Image, user: str) -> None:
    command = (f"--user={user}", "--entrypoint=python", image.tag, "-c", LIBRARIES)
    assert docker("run", "--rm", *HARDENED, *command) == f"{user.partition(':')[0]} written loaded"


def test_health_check_looks_at_the_port_that_is_set(image: Image, check: list[str]) -> None:
    with container(image.tag, BYOC_OPS_PORT="9001") as running:
        running.wait_healthy(9001)
        done = running.execute(*check)
        assert done.returncode == 0, done.stdout


def test_health_check_passes_by_a_proxy(server: Container, check: list[str]) -> None:
    nowhere = "http_proxy=http://127.0.0.1:9"
    done = server.execute("env", nowhere, *check)
    assert done.returncode == 0, done.stdout


def test_health_check_fails_when_the_server_hangs(image: Image, check: list[str]) -> None:
    with container(image.tag) as running:
        running.wait_healthy()
        running.signal("STOP")
        assert running.execute(*check).returncode == 1


def test_docker_finds_it_healthy(server: Container) -> None:
    eventually(lambda: server.state["Health"]["Status"] == "healthy", "healthy to Docker")


def test_prometheus_accepts_the_metrics(server: Container) -> None:
    """Its linter has one complaint: about a name that is given."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on the path")
    text = server.request("GET", "/metrics", port=OPS).body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    complaints = (done.stdout + done.stderr).decode().splitlines()
    words = "metric names should not contain abbreviated units"
    assert complaints == [f"byoc_frame_latency_ms {words}"]
