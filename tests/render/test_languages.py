"""Every file parses in its own language and pleases that language's linter."""

from pathlib import Path

import pytest

import languages


def test_every_file_is_right_in_its_language(
    distinct: list[Path], subtests: pytest.Subtests
) -> None:
    for path in distinct:
        with subtests.test(path=str(path)):
            languages.check(path)
