"""How the first registration comes about, what may stand in its way, and what must stay secret."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from emulator.container import Container, eventually
from harness import read, refuse_to_start, size
from heartbeats import heartbeats, registered
from my_model.runtime.livepeer.settings import OrchestratorSettings
from my_model.runtime.settings import SettingsError
from orchestrator.certificate import self_signed
from orchestrator.server import run_orchestrator
from registering import SECRET, attempts, free_port, run_registering, wait_confirmed
from work import work_through

QUICK = {"heartbeat_seconds": 0.5}
ANY_CERTIFICATE = "any certificate of the orchestrator is accepted"


def test_it_registers_only_after_the_model_has_loaded(tmp_path: Path) -> None:
    mark, release = tmp_path / "mark", tmp_path / "release"
    loading: dict[str, Any] = {
        "CHAOS_LOAD": "wait_for_file",
        "CHAOS_MARK": str(mark),
        "CHAOS_FILE": str(release),
    }
    with (
        run_orchestrator(secret=SECRET) as orchestrator,
        run_registering(tmp_path, orchestrator.url, ready=False, **loading) as server,
    ):
        eventually(lambda: size(mark), "loading")
        assert server.ops.get("/health").status_code == 503
        assert server.metric("byoc_registered") == 0
        assert not orchestrator.calls
        release.touch()
        registered(orchestrator)


def test_the_orchestrator_may_come_later_and_with_another_secret(tmp_path: Path) -> None:
    """1. There is none. 2. There is one that refuses the secret. 3. It is the right one."""
    with free_port() as port, run_registering(tmp_path, f"https://127.0.0.1:{port}") as server:
        eventually(lambda: attempts(server, "unreachable") >= 2, "tried")
        with run_orchestrator(port=port, secret="another", **QUICK) as orchestrator:
            eventually(lambda: attempts(server, "refused") >= 2, "refused")
            assert {call.status for call in heartbeats(orchestrator)} == {401}
            assert server.ops.get("/health").json() == {"status": "ok"}
            assert server.metric("byoc_registered") == 0
        assert attempts(server, "ok") == 0
        with run_orchestrator(port=port, secret=SECRET, **QUICK) as orchestrator:
            registered(orchestrator)
            wait_confirmed(server)
        (failure,) = server.events("registration fails")
        assert "can't be reached" in failure["reason"]
        assert server.errors("registration") == 1
        assert attempts(server, "ok") >= 1


def test_a_file_of_certificates_is_all_that_is_trusted(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours, other):
        folder.mkdir()
    tls = self_signed(ours)
    self_signed(other)
    with run_orchestrator(secret=SECRET, tls=tls, **QUICK) as orchestrator:
        trusted: dict[str, Any] = {"BYOC_ORCHESTRATOR_TLS": str(ours / "certificate.pem")}
        others: dict[str, Any] = {"BYOC_ORCHESTRATOR_TLS": str(other / "certificate.pem")}
        with run_registering(tmp_path, orchestrator.url, **others) as server:
            eventually(lambda: attempts(server, "unreachable") >= 2, "tried")
            assert not orchestrator.calls
        with run_registering(tmp_path, orchestrator.url, **trusted) as server:
            wait_confirmed(server)
            assert ANY_CERTIFICATE not in server.log()


def test_secrets_stay_secret(tmp_path: Path) -> None:
    """Whoever is asked: the log, the metrics, and the answers to callers."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings: dict[str, Any] = {
        "BYOC_LOG_LEVEL": "DEBUG",
        "BYOC_ORCHESTRATOR_SECRET": "",
        "BYOC_ORCHESTRATOR_SECRET_FILE": str(file),
    }
    with (
        run_orchestrator(secret=SECRET, **QUICK) as orchestrator,
        run_registering(tmp_path, orchestrator.url, **settings) as server,
    ):

        async def repeat(request: web.Request) -> web.Response:
            return web.Response(status=500, text=request.headers["Authorization"])

        known = [registered(orchestrator)]
        channels = [known[0].commands.name] if known[0].commands else []
        said = work_through(server, orchestrator)
        assert "ValueError" in said
        refused = server.jobs.post("/stream/start", headers={"Livepeer-Session-Id": "nobody"})
        said += refused.text + server.jobs.post("/run", content=b"no JSON").text
        orchestrator.fault = repeat
        orchestrator.forget()
        eventually(lambda: server.metric("byoc_registered") == 0, "no longer registered")
        orchestrator.fault = None
        wait_confirmed(server)
        known.append(registered(orchestrator))
        said += server.ops.get("/metrics").text + server.jobs.get("/openapi.json").text
        assert server.stop() == 0
        log = server.log()
        assert log.count(ANY_CERTIFICATE) == 1
        sessions = set(re.findall(r'"session_id": "(\w+)"', log))
        assert sessions
        tokens = [runner.session_token(session) for runner in known for session in sessions]
        derived = [runner.derive("heartbeat") for runner in known]
        secrets = [SECRET[:-1], *channels, *derived, *tokens, "/ai/trickle", "-o2r"]
        assert [secret for secret in secrets if secret in log + said] == []


RIGHT = {
    "BYOC_ORCHESTRATOR_URL": "https://orchestrator:8935/",
    "BYOC_ORCHESTRATOR_SECRET": SECRET,
    "BYOC_CONTAINER_URL": "http://my-model:8000",
}
BASE, NEEDED = "absolute http or https address", "must be set where BYOC_ORCHESTRATOR_URL is"
PRINTABLE, PATTERN = "printable ASCII", "of the form pipeline/model"
WRONG = [
    ("BYOC_ORCHESTRATOR_URL", "orchestrator:8935", BASE),
    ("BYOC_ORCHESTRATOR_URL", "ftp://orchestrator", BASE),
    ("BYOC_ORCHESTRATOR_URL", "https://orchestrator:0", BASE),
    ("BYOC_ORCHESTRATOR_URL", "https://orchestrator/?a=b", "without user, query and fragment"),
    ("BYOC_ORCHESTRATOR_URL", "https://user@orchestrator", "without user, query and fragment"),
    ("BYOC_ORCHESTRATOR_SECRET", "", NEEDED),
    ("BYOC_ORCHESTRATOR_SECRET", "two\nlines", PRINTABLE),
    ("BYOC_ORCHESTRATOR_SECRET", "clé", PRINTABLE),
    ("BYOC_ORCHESTRATOR_SECRET", "space ", PRINTABLE),
    ("BYOC_ORCHESTRATOR_TLS", "/nowhere.pem", "must be off or a file of certificates"),
    ("BYOC_ORCHESTRATOR_TLS", __file__, "must be off or a file of certificates"),
    ("BYOC_CONTAINER_URL", "", NEEDED),
    ("BYOC_CONTAINER_URL", "my-model:8000", BASE),
    ("BYOC_REGISTRATION_INTERVAL_SECONDS", "0.5", "greater than or equal to 1"),
    ("BYOC_REGISTRATION_INTERVAL_SECONDS", "inf", "finite number"),
    ("BYOC_APP", "my-model", PATTERN),
    ("BYOC_APP", "image-to-image/", PATTERN),
    ("BYOC_APP", "image to image/my-model", PATTERN),
    ("BYOC_PRICE_PER_UNIT", "0", "greater than 0"),
    ("BYOC_PRICE_PER_UNIT", "-1", "greater than 0"),
    ("BYOC_PRICE_PER_UNIT", "free", "valid decimal"),
    ("BYOC_PRICE_PER_UNIT", "NaN", "finite number"),
    ("BYOC_PRICE_CURRENCY", "eur", "'usd'"),
    ("BYOC_PRICE_UNIT", "minute", "'hour', '720p' or 'fixed'"),
]


@pytest.mark.parametrize(("variable", "value", "rule"), WRONG)
def test_a_wrong_value_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    for name, right in (RIGHT | {variable: value}).items():
        monkeypatch.setenv(name, right)
    with pytest.raises(SettingsError) as refusal:
        read()
    words = str(refusal.value)
    assert words.startswith(f"{variable}=" if value else f"{variable} is not set")
    assert rule in words
    assert "\n" not in words
    assert (repr(value) in words) == (variable != "BYOC_ORCHESTRATOR_SECRET" and value != "")


def test_addresses_end_where_paths_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, right in RIGHT.items():
        monkeypatch.setenv(name, right)
    assert read()[OrchestratorSettings].orchestrator_url == "https://orchestrator:8935"


def test_wrong_values_end_the_start(tmp_path: Path) -> None:
    wrong = {variable: value for variable, value, _ in WRONG if value}
    code, words = refuse_to_start(tmp_path, **wrong)
    assert code == 2
    assert words.count("\n") == 1
    assert all(variable in words for variable in wrong)
    assert wrong["BYOC_ORCHESTRATOR_SECRET"] not in words


def test_without_an_orchestrator_it_serves_unregistered(server: Container) -> None:
    (event,) = server.events("serving unregistered: BYOC_ORCHESTRATOR_URL is not set")
    assert event["level"] == "info"
    assert server.metric("byoc_registered") == 0
