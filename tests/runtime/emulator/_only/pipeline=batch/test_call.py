"""The command that sends one job, run as its user does, to the container and to orchestrators."""

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.container import DEADLINE_SECONDS, Container, eventually
from emulator.via_orchestrator import add_options
from harness import DATA, ROOT
from known import run_known_server
from orchestrator.server import OrchestratorServer, run_orchestrator

TOKEN = "a token"
PHOTO = DATA / "grace_hopper.jpg"
# A balance of the orchestrator's own may come last (byoc/job_orchestrator.go).
BALANCE = '{"balance": '


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[OrchestratorServer]:
    with run_orchestrator() as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
def container(
    orchestrator: OrchestratorServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    with run_known_server(
        orchestrator, tmp_path_factory.mktemp("call"), BYOC_AUTH_TOKEN=TOKEN
    ) as server:
        yield server


@pytest.fixture(params=["container", "orchestrator"])
def way(
    request: pytest.FixtureRequest, container: Container, orchestrator: OrchestratorServer
) -> list[str]:
    """Options of the command: it goes to the container itself, or through an orchestrator."""
    ways = {"container": to_container(container), "orchestrator": through(orchestrator)}
    return ways[request.param]


def to_container(server: Container) -> list[str]:
    return [f"--url=http://127.0.0.1:{server.port}", f"--token={TOKEN}"]


def through(orchestrator: OrchestratorServer) -> list[str]:
    return [f"--orchestrator={orchestrator.url}", f"--token={TOKEN}"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "emulator.call", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(*arguments: str) -> tuple[int, str, str]:
    """The exit code, what is printed, and the errors."""
    process = start(*arguments)
    try:
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    return process.returncode, output, errors


def order(do: str, **more: object) -> str:
    """A job for the chaos model."""
    return f"--json={json.dumps({'do': do, **more})}"


def printed(*arguments: str) -> str:
    """By a command that succeeds."""
    code, output, errors = call(*arguments)
    assert (code, errors) == (0, "")
    return output


def only_line(*arguments: str) -> str:
    """What a command that fails says."""
    code, output, errors = call(*arguments)
    assert (code, output) == (1, "")
    (line,) = errors.splitlines()
    return line


def test_a_file_goes_in_and_out(way: list[str], tmp_path: Path) -> None:
    result = tmp_path / "out.jpg"
    assert printed(str(PHOTO), str(result), *way) == ""
    assert result.read_bytes() == PHOTO.read_bytes()


def test_the_type_is_that_of_the_name_or_the_one_that_is_given(way: list[str]) -> None:
    """What is not text needs a file."""
    assert only_line(str(PHOTO), *way) == "the answer is image/jpeg: name a file for it"
    options = ["--content-type=audio/flac", *way]
    assert only_line(str(PHOTO), *options) == "the answer is audio/flac: name a file for it"


def test_json_goes_in_and_out(way: list[str], tmp_path: Path) -> None:
    wanted = {"do": "echo", "text": "ä"}
    assert json.loads(printed(order(**wanted), *way)) == wanted
    job, result = tmp_path / "job.json", tmp_path / "result.json"
    job.write_text(json.dumps(wanted))
    assert printed(str(job), str(result), *way) == ""
    assert json.loads(result.read_text()) == wanted
    assert printed(order("echo"), str(result), *way) == ""
    assert json.loads(result.read_text()) == {"do": "echo"}


def test_events_are_shown_as_they_come(way: list[str], tmp_path: Path) -> None:
    file = tmp_path / "go on"
    wait = {"then": "wait_for_file", "file": str(file)}
    process = start(order("stream", values=[1, {"two": "ü"}], **wait), *way)
    try:
        assert process.stdout
        assert [json.loads(process.stdout.readline()) for _ in range(2)] == [1, {"two": "ü"}]
        file.touch()
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert not output or output.startswith(BALANCE)


def test_events_that_are_too_long_for_a_line_are_whole(way: list[str], tmp_path: Path) -> None:
    job, result = tmp_path / "job.json", tmp_path / "events.jsonl"
    values = ["short", 100_000 * "ü", "[DONE]", ""]
    job.write_text(json.dumps({"do": "stream", "values": values}))
    assert printed(str(job), str(result), *way) == ""
    lines = result.read_text().splitlines()
    assert [json.loads(line) for line in lines if not line.startswith(BALANCE)] == values


def test_an_error_between_events_is_a_failure(way: list[str]) -> None:
    code, output, errors = call(order("stream", values=[1], then="fail"), *way)
    assert code == 1
    assert json.loads(output.splitlines()[0]) == 1
    (line,) = errors.splitlines()
    assert line.startswith("the job has failed: ")
    assert "model_error" in line


@pytest.mark.parametrize("through_orchestrator", [False, True])
def test_events_that_break_off_are_a_failure(through_orchestrator: bool, tmp_path: Path) -> None:
    with (
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, BYOC_AUTH_TOKEN=TOKEN) as server,
    ):
        way = through(orchestrator) if through_orchestrator else to_container(server)
        process = start(order("drip", seconds=0.1), "--timeout=3", *way)
        try:
            assert process.stdout
            assert process.stdout.readline() == '"drop"\n'
            server.process.kill()
            _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert "broke off" in line


def test_a_refusal_is_told_in_the_containers_words(way: list[str]) -> None:
    line = only_line(order("refuse"), *way)
    assert "refuses: 422" in line
    assert "seconds: must be positive" in line


def test_a_wrong_token_is_refused(container: Container) -> None:
    line = only_line(order("echo"), *to_container(container), "--token=another")
    assert "the container refuses: 401" in line
    assert "the bearer token is missing or wrong" in line


def test_what_nobody_offers(container: Container, orchestrator: OrchestratorServer) -> None:
    """A list of what there is instead, where orchestrators have one."""
    parser = ArgumentParser()
    add_options(parser)
    ((option, offered),) = vars(parser.parse_args([])).items()
    line = only_line(order("echo"), f"--{option}=other", *through(orchestrator))
    assert "other" in line
    assert option == "capability" or line.endswith(offered)


def test_nobody_has_room(tmp_path: Path) -> None:
    file = tmp_path / "go on"
    with (
        run_orchestrator() as orchestrator,
        run_known_server(orchestrator, tmp_path, BYOC_AUTH_TOKEN=TOKEN) as server,
    ):
        job = order("wait_for_file", file=str(file))
        first = server.pool.submit(call, job, *through(orchestrator))
        eventually(lambda: server.metric("byoc_sessions_active") == 1, "the first job")
        assert "refuses: 503" in only_line(order("echo"), *through(orchestrator))
        file.touch()
        assert first.result() == (0, '"seen"\n', "")


@pytest.mark.parametrize("option", ["--url=http://127.0.0.1:9", "--orchestrator=https://[::1]:9"])
def test_nobody_is_there(option: str) -> None:
    assert "can't be reached" in only_line(order("echo"), option)


def test_a_job_that_takes_too_long(container: Container, tmp_path: Path) -> None:
    file = tmp_path / "go on"
    job = order("wait_for_file", file=str(file))
    line = only_line(job, "--timeout=1", *to_container(container))
    file.touch()
    assert line == "the container does not answer in time"


def test_what_is_not_an_orchestrator(container: Container) -> None:
    url = f"--orchestrator=http://127.0.0.1:{container.port}"
    assert "refuses: 404" in only_line(order("echo"), url)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "nothing.json" in only_line(str(tmp_path / "nothing.json"))


@pytest.mark.parametrize(
    "arguments", [[], ["--json={}", "a", "b"], [str(PHOTO), "there/is/no/such/folder"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    code, output, errors = call(*arguments)
    assert (code, output) == (2, "")
    assert errors.splitlines()[-1].startswith("python -m emulator.call: error: ")
