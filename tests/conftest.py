"""All combinations rendered once, and the table that a run ends with."""

import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Repository, bake_all, distinct_files


@pytest.fixture(scope="session", autouse=True)
def cookiecutter_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No defaults from the home of whoever runs the tests, and no replay file left there."""
    home = tmp_path_factory.mktemp("cookiecutter")
    config = home / "config.yaml"
    config.write_text(f'replay_dir: "{home}"\ncookiecutters_dir: "{home}"\n', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        yield


@pytest.fixture(scope="session", autouse=True)
def heeded_signals() -> None:
    """Keep programs started by tests from inheriting ignored signals of a background run."""
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> list[Repository]:
    """A repository of every combination of options, the other answers being the defaults."""
    return bake_all(tmp_path_factory.mktemp("combinations"))


@pytest.fixture(scope="session")
def distinct(repositories: list[Repository]) -> list[Path]:
    """Each content of each file among all combinations, once."""
    return distinct_files(repositories)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests recorded by `record_property`, and the time of each stage."""
    seconds: defaultdict[str, float] = defaultdict(float)
    rows: list[tuple[str, object]] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if type(report) is pytest.TestReport:  # a subtest is part of its test
                seconds[Path(report.nodeid).parts[1]] += report.duration
                if report.when == "call":
                    rows += report.user_properties
    rows += [(f"time of {folder}", f"{total:.1f} s") for folder, total in seconds.items()]
    terminalreporter.section("table")
    for name, value in rows:
        terminalreporter.write_line(f"{name:32} {value}")
