"""What can't be registered stops the start, with one line that names the variable and the rule."""

from pathlib import Path

import pytest

from harness import read, refuse_to_start
from my_model.runtime.livepeer.capability_settings import CapabilitySettings
from my_model.runtime.livepeer.settings import OrchestratorSettings
from my_model.runtime.settings import SettingsError
from registering import SECRET

URL = "https://orchestrator:8935"
REGISTERING = {
    "BYOC_ORCHESTRATOR_URL": URL,
    "BYOC_ORCHESTRATOR_SECRET": SECRET,
    "BYOC_CONTAINER_URL": "http://container:8000",
}
ABSOLUTE, BARE = "an absolute http or https address", "without user, query and fragment"
LARGEST = 2**63 - 1

WRONG = [
    ("BYOC_PRICE_PER_UNIT", "-1", "greater than or equal to 0"),
    ("BYOC_PRICE_PER_UNIT", "0.5", "valid integer"),
    ("BYOC_PRICE_PER_UNIT", "1e3", "valid integer"),
    ("BYOC_PRICE_PER_UNIT", f"{LARGEST + 1}", f"less than or equal to {LARGEST}"),
    ("BYOC_PRICE_SCALING", "0", "greater than or equal to 1"),
    ("BYOC_PRICE_SCALING", "-5", "greater than or equal to 1"),
    ("BYOC_PRICE_SCALING", f"{LARGEST + 1}", f"less than or equal to {LARGEST}"),
    ("BYOC_PRICE_CURRENCY", "usd", "'wei' or 'eth'"),
    ("BYOC_ORCHESTRATOR_URL", "orchestrator:8935", ABSOLUTE),
    ("BYOC_ORCHESTRATOR_URL", "ftp://orchestrator", ABSOLUTE),
    ("BYOC_ORCHESTRATOR_URL", "https://", ABSOLUTE),
    ("BYOC_ORCHESTRATOR_URL", "https://a:0", ABSOLUTE),
    ("BYOC_ORCHESTRATOR_URL", "https://a/?b=c", BARE),
    ("BYOC_CONTAINER_URL", "http://user@a", BARE),
    ("BYOC_CONTAINER_URL", "http://a/#b", BARE),
    ("BYOC_CONTAINER_URL", "http://a b", BARE),
    ("BYOC_CONTAINER_URL", f"http://{2048 * 'a'}", "at most 2048 characters"),
    ("BYOC_ORCHESTRATOR_TLS", "/nowhere", "off or a file of certificates"),
    ("BYOC_ORCHESTRATOR_TLS", __file__, "off or a file of certificates"),
    ("BYOC_REGISTRATION_INTERVAL_SECONDS", "0.9", "greater than or equal to 1"),
    ("BYOC_REGISTRATION_INTERVAL_SECONDS", "nan", "finite number"),
]


@pytest.fixture(autouse=True)
def registering(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REGISTERING.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("variable", "value", "rule"), WRONG)
def test_a_wrong_value_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refusal:
        read()
    assert f"{variable}={value!r}" in str(refusal.value)
    assert rule in str(refusal.value)


@pytest.mark.parametrize(
    ("price", "scaling", "currency", "accepted"),
    [
        (1, 1, "wei", True),
        (1, 2, "wei", False),
        (999, 1000, "wei", False),
        (1000, 1000, "wei", True),
        (0, LARGEST, "wei", True),
        (1, 10**18, "eth", True),
        (1, 10**18 + 1, "eth", False),
        (LARGEST, LARGEST, "wei", True),
    ],
)
def test_a_price_is_nothing_or_a_wei_at_least(
    monkeypatch: pytest.MonkeyPatch, price: int, scaling: int, currency: str, accepted: bool
) -> None:
    """Orchestrators charge nothing for less (core/ai_orchestrator.go)."""
    monkeypatch.setenv("BYOC_PRICE_PER_UNIT", str(price))
    monkeypatch.setenv("BYOC_PRICE_SCALING", str(scaling))
    monkeypatch.setenv("BYOC_PRICE_CURRENCY", currency)
    if accepted:
        assert read()[CapabilitySettings].price_scaling == scaling
        return
    with pytest.raises(SettingsError, match=r"BYOC_PRICE_SCALING=.*less than 1 wei"):
        read()


@pytest.mark.parametrize("secret", ["hid\nden", "hidden\xe4", " hidden", "hidden\t"])
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("BYOC_ORCHESTRATOR_SECRET", secret)
    with pytest.raises(SettingsError) as refusal:
        read()
    assert str(refusal.value).startswith("BYOC_ORCHESTRATOR_SECRET=...: ")
    assert "hid" not in str(refusal.value)


@pytest.mark.parametrize("variable", ["BYOC_ORCHESTRATOR_SECRET", "BYOC_CONTAINER_URL"])
def test_what_an_orchestrator_needs_to_know_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.delenv("BYOC_ORCHESTRATOR_URL")
    assert read()[OrchestratorSettings].orchestrator_url is None
    code, words = refuse_to_start(tmp_path, **REGISTERING | {variable: ""})
    assert code == 2
    assert words.count("\n") == 1
    assert variable in words
    assert "must be set where BYOC_ORCHESTRATOR_URL is" in words
    assert SECRET not in words


def test_the_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    monkeypatch.delenv("BYOC_ORCHESTRATOR_SECRET")
    monkeypatch.setenv("BYOC_ORCHESTRATOR_SECRET_FILE", str(file))
    secret = read()[OrchestratorSettings].orchestrator_secret
    assert secret is not None
    assert secret.get_secret_value() == SECRET
