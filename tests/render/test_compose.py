"""The generated compose files: valid, hardened, without secrets, and with time to drain."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from compose import compose_or_skip
from harness import OPTIONS, Repository
from languages import run

# What the names stand for in go-livepeer v0.9.1: `cmd/livepeer/starter/flags.go`, and `v` in
# `cmd/livepeer/livepeer.go`.
FLAGS = {
    *("ethUrl", "gateway", "gatewayHost", "httpAddr", "httpIngest", "liveRunnerAddr", "v"),
    *("liveRunnerConfig", "monitor", "network", "orchAddr", "orchSecret", "orchestrator"),
    *("pricePerUnit", "serviceAddr", "useLiveRunners"),
}
OFFCHAIN = {
    "orchestrator": "",
    "network": "offchain",
    "orchSecret": "/run/secrets/orchestrator_secret",
    "httpAddr": "0.0.0.0:8935",
    "v": "6",
}
RUNNERS = OFFCHAIN | {
    "liveRunnerAddr": "https://orchestrator:8935",
    "monitor": "false",
    "serviceAddr": "127.0.0.1:8935",
    "useLiveRunners": "",
}
# By registration: how the orchestrator beside the container is started.
COMMANDS = {
    "live-runner": RUNNERS,
    "static": RUNNERS | {"liveRunnerConfig": "/config/runners.json"},
    "capability": OFFCHAIN | {"serviceAddr": "orchestrator:8935"},
}
REGISTRATION = {
    "BYOC_CONTAINER_URL": "http://my-model:8000",
    "BYOC_ORCHESTRATOR_SECRET_FILE": "/run/secrets/orchestrator_secret",
    "BYOC_ORCHESTRATOR_URL": "https://orchestrator:8935",
}
# As the README starts both, and as each of them can be started.
BOTH = ("compose.yaml", "compose.orchestrator.yaml")
STACKS = (("compose.yaml",), BOTH, (*BOTH, "compose.onchain.yaml"))
MARGIN_SECONDS = 2
SECRET = re.compile("password|secret|token", re.IGNORECASE)


@pytest.fixture(scope="module")
def files(distinct: list[Path]) -> list[Path]:
    found = [path for path in distinct if re.fullmatch(r"compose.*\.yaml", path.name)]
    assert found
    return found


@cache
def parse(text: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def load(path: Path) -> dict[str, Any]:
    return parse(path.read_text(encoding="utf-8"))


def merged(base: Any, over: Any) -> Any:
    """As Compose lays one file over another, where they have no list in common."""
    if not isinstance(base, dict):
        return over
    both = {name: merged(base[name], over[name]) for name in base.keys() & over.keys()}
    return base | over | both


def services(repository: Repository) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container and the orchestrator."""
    base, over = (load(repository.root / name)["services"] for name in BOTH)
    assert set(base) == {"my-model"}
    assert set(over) == {"my-model", "orchestrator"}
    return merged(base, over)["my-model"], over["orchestrator"]


def flags(service: dict[str, Any]) -> dict[str, str]:
    pairs = (argument.removeprefix("-").partition("=") for argument in service["command"])
    return {name: value for name, _, value in pairs}


def test_schema_holds(files: list[Path]) -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)


def test_compose_takes_every_file(repositories: list[Repository]) -> None:
    """Compose itself, with what it says of the file before it starts anything."""
    compose_or_skip()
    seen: set[tuple[str, ...]] = set()
    for repository in repositories:
        for stack in STACKS:
            contents = tuple(repository.files[name] for name in stack if name in repository.files)
            if contents in seen:
                continue
            seen.add(contents)
            files = [f"--file={name}" for name in stack if name in repository.files]
            command = ("docker", "compose", *files, "--profile=onchain", "config", "--quiet")
            run(*command, cwd=repository.root)


def test_the_container_alone_is_one_file(repositories: list[Repository]) -> None:
    """It knows of no orchestrator, whatever the registration is."""
    for accelerator in OPTIONS["accelerator"]:
        found = [each for each in repositories if each.answers["accelerator"] == accelerator]
        assert len({each.files["compose.yaml"] for each in found}) == 1
        text = (found[0].root / "compose.yaml").read_text(encoding="utf-8")
        assert "orchestrator" not in re.sub("#.*", "", text)


@pytest.mark.parametrize(
    ("drain", "grace"), [(None, None), ("600", None), ("0.5", "20"), ("86400", "2")]
)
def test_there_is_time_to_drain_and_stop(
    repositories: list[Repository], drain: str | None, grace: str | None
) -> None:
    """One variable says how long both the container and Compose wait."""
    given = {"BYOC_DRAIN_SECONDS": drain, "BYOC_SHUTDOWN_GRACE_SECONDS": grace}
    variables = {name: value for name, value in given.items() if value}
    for repository in repositories:
        container, _ = services(repository)
        assert "stop_signal" not in container
        period = interpolated(container["stop_grace_period"], variables)
        told = [float(interpolated(container["environment"][name], variables)) for name in given]
        assert told == [float(drain or 0), float(grace or 8)]
        # Go adds up the parts of a duration.
        parts = re.fullmatch(r"([\d.]+)s([\d.]+)s([\d.]+)s", period)
        assert parts
        assert sum(map(float, parts.groups())) >= sum(told) + MARGIN_SECONDS


def interpolated(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+):-(\w+)\}", lambda it: variables.get(it[1], it[2]), text)


def test_compose_adds_up_the_grace_period(repositories: list[Repository]) -> None:
    compose_or_skip()
    command = ("docker", "compose", "--file=compose.yaml", "config", "--format=json")
    for drain, period in (("", "10s"), ("600", "10m10s")):
        done = subprocess.run(
            command,
            cwd=repositories[0].root,
            env=os.environ | {"BYOC_DRAIN_SECONDS": drain},
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        )
        config = json.loads(done.stdout)
        assert config["services"]["my-model"]["stop_grace_period"] == period


def test_orchestrator_is_started_as_its_code_says(repositories: list[Repository]) -> None:
    for repository in repositories:
        _, orchestrator = services(repository)
        registration = repository.answers["registration"]
        assert flags(orchestrator) == COMMANDS[registration]
        mounted = ["./runners.json:/config/runners.json:ro"]
        assert orchestrator.get("volumes", []) == (mounted if registration == "static" else [])


def test_checklist_is_tried_with_the_same_orchestrator(repositories: list[Repository]) -> None:
    """But at addresses of the machine that both run on."""
    for repository in repositories:
        _, orchestrator = services(repository)
        (job,) = load(repository.root / ".github/workflows/checklist.yml")["jobs"].values()
        scripts = [step.get("run", "") for step in job["steps"]]
        (script,) = (text for text in scripts if "docker run" in text)
        words = script.partition("docker run ")[2].partition("\ncurl ")[0].split()
        command = words[words.index(orchestrator["image"]) + 1 :]
        moved = {"httpAddr": "127.0.0.1:8935", "serviceAddr": "127.0.0.1:8935"}
        if repository.answers["registration"] != "capability":
            moved["liveRunnerAddr"] = "https://127.0.0.1:8935"
        if repository.answers["registration"] == "static":
            moved["liveRunnerConfig"] = "/run/secrets/runners.json"
        told = flags({"command": [word for word in command if word != "\\"]})
        assert told == flags(orchestrator) | moved


def test_flags_and_the_version_exist(files: list[Path]) -> None:
    for path in files:
        for name, service in load(path)["services"].items():
            if name != "my-model":
                assert service.get("image", "livepeer/go-livepeer:v0.9.1") == (
                    "livepeer/go-livepeer:v0.9.1"
                )
                assert set(flags(service)) <= FLAGS, f"{path}: {name}"


def test_container_registers_itself_unless_the_operator_does_it(
    repositories: list[Repository],
) -> None:
    for repository in repositories:
        container, _ = services(repository)
        told = {name: container["environment"].get(name) for name in REGISTRATION}
        static = repository.answers["registration"] == "static"
        assert told == (dict.fromkeys(REGISTRATION) if static else REGISTRATION)
        assert container.get("secrets", []) == ([] if static else ["orchestrator_secret"])


def test_variables_are_settings(repositories: list[Repository]) -> None:
    for repository in repositories:
        container, _ = services(repository)
        names = {name.removesuffix("_FILE") for name in container["environment"]}
        fields = {name.removeprefix("BYOC_").lower() for name in names}
        modules = (repository.root / "src").rglob("*.py")
        code = "\n".join(path.read_text(encoding="utf-8") for path in modules)
        assert fields <= {*re.findall(r"^    (\w+): ", code, re.MULTILINE)}


def test_gpu_is_reserved_when_there_is_to_be_one(repositories: list[Repository]) -> None:
    for repository in repositories:
        container, orchestrator = services(repository)
        device = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
        deploy = {"resources": {"reservations": {"devices": [device]}}}
        nvidia = repository.answers["accelerator"] == "nvidia"
        assert container.get("deploy") == (deploy if nvidia else None)
        assert container["environment"].get("BYOC_REQUIRE_GPU") == ("1" if nvidia else None)
        assert "deploy" not in orchestrator


def test_container_is_hardened(repositories: list[Repository]) -> None:
    for repository in repositories:
        container, _ = services(repository)
        assert container["read_only"] is True
        assert container["tmpfs"] == ["/tmp:exec"]
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in container


def test_container_outlives_the_orchestrator(repositories: list[Repository]) -> None:
    """It is stopped first, so that its last answers go out, but serves without."""
    for repository in repositories:
        container, orchestrator = services(repository)
        waits_for = {"orchestrator": {"condition": "service_started", "required": False}}
        assert container["depends_on"] == waits_for
        assert "depends_on" not in orchestrator


def test_services_come_back_and_are_asked_whether_they_serve(files: list[Path]) -> None:
    for path in files:
        for name, service in load(path)["services"].items():
            added = path.name == "compose.orchestrator.yaml" and name == "orchestrator"
            if path.name == "compose.yaml" or added or name == "gateway":
                assert service["restart"] == "unless-stopped"
                assert service["healthcheck"]["test"]
            waited_for = service.get("depends_on", {})
            assert {it["condition"] for it in waited_for.values()} <= (
                {"service_started"} if name == "my-model" else {"service_healthy"}
            )


def test_ports_are_open_to_this_machine_alone(files: list[Path]) -> None:
    for path in files:
        for service in load(path)["services"].values():
            assert "network_mode" not in service
            for port in service.get("ports", []):
                assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), f"{path}: {port}"


def test_no_secret_is_inline(files: list[Path]) -> None:
    """What has to do with one is the name of a file, whose folder git and builds leave out."""
    named = re.compile(r"/run/secrets/\w+|secrets/\w+|BYOC_\w+_FILE|\w+_(secret|password)")
    told = re.compile(r"-orchSecret=|-ethPassword=\"\$\$\(cat (?=/run/secrets/\w+\)\")|secrets:")
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            rest = named.sub("", told.sub("", line.partition("#")[0]))
            assert not SECRET.search(rest), f"{path}: {line}"
        for secret in load(path).get("secrets", {}).values():
            assert re.fullmatch(r"secrets/\w+", secret["file"])


def test_secrets_stay_on_the_machine(repositories: list[Repository], tmp_path: Path) -> None:
    root = repositories[0].root
    run("git", "init", "--quiet", tmp_path)
    shutil.copy(root / ".gitignore", tmp_path)
    command = ("git", "check-ignore", "--quiet", "secrets/orchestrator_secret")
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    sent = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in sent
    assert not [line for line in sent if line.startswith("!") and "secret" in line]


def test_readme_says_what_compose_asks_for(repositories: list[Repository]) -> None:
    for repository in repositories:
        readme = (repository.root / "README.md").read_text(encoding="utf-8")
        container, orchestrator = services(repository)
        for port in (*container["ports"], *orchestrator["ports"]):
            assert port.rpartition(":")[2] in readme
        assert ">secrets/orchestrator_secret" in readme
        assert "--orchestrator https://127.0.0.1:8935" in readme
