"""How a refusal is seen: in words, and with nothing left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from jinja2 import UndefinedError

from harness import bake


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that tries these answers and returns what their refusal says."""

    def attempt(**answers: str) -> str:
        output = tmp_path / "parent" / "output"
        output.mkdir(parents=True, exist_ok=True)
        capfd.readouterr()
        with pytest.raises((FailedHookException, UndefinedError)) as caught:
            bake(output, **answers)
        assert sorted(tmp_path.rglob("*")) == [output.parent, output]
        return capfd.readouterr().err + str(caught.value)

    return attempt
