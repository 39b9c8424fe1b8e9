"""A hardened container serves: read-only, without capabilities, without a writable folder."""

import base64
import json
import shutil
import struct
import subprocess
import zlib

import pytest

from image.engine import OPS, Container, Image, container, eventually, inspect

PHOTO_SIZE = (512, 600)


def decode(png: bytes) -> tuple[tuple[int, int], bytes]:
    """The size and the raw rows of a PNG of 8-bit RGB."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    rest = png[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        name, data, rest = rest[4:8], rest[8 : 8 + length], rest[12 + length :]
        chunks[name] = chunks.get(name, b"") + data
    width, height, depth, color = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, color) == (8, 2)
    return (width, height), zlib.decompress(chunks[b"IDAT"])


@pytest.fixture(scope="module")
def check(image: Image) -> list[str]:
    """The image's own health check, as a command."""
    command: list[str] = inspect(image.tag)["Config"]["Healthcheck"]["Test"][1:]
    return command


def test_photograph_in_json(server: Container, photo: bytes) -> None:
    answer = server.run(json.dumps({"image": base64.b64encode(photo).decode()}).encode())
    assert answer.status == 200
    told = json.loads(answer.body)
    size, rows = decode(base64.b64decode(told["image"]))
    assert size == (told["width"], told["height"]) == PHOTO_SIZE
    assert len(rows) == size[1] * (1 + 3 * size[0])


def test_photograph_as_the_body(server: Container, photo: bytes) -> None:
    """The same picture as by JSON, byte for byte."""
    answer = server.run(photo, "image/jpeg")
    assert answer.status == 200
    json_answer = server.run(json.dumps({"image": base64.b64encode(photo).decode()}).encode())
    assert decode(answer.body) == decode(base64.b64decode(json.loads(json_answer.body)["image"]))


def test_no_photograph_is_the_callers_mistake(server: Container) -> None:
    answer = server.run(b"no photograph", "image/jpeg")
    assert answer.status == 422
    assert json.loads(answer.body)["error"]["field"] == "image"


def test_server_is_process_1_and_nobody(server: Container) -> None:
    livez = server.request("GET", "/livez", port=OPS)
    assert (livez.status, json.loads(livez.body)["pid"]) == (200, 1)
    assert server.execute("id", "-u").stdout.split() == ["10001"]


def test_nothing_can_be_written_but_memory(server: Container) -> None:
    for folder in ("/", "/tmp", "/models", "/opt/venv"):
        assert server.execute("touch", f"{folder}/file").returncode != 0, folder


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
