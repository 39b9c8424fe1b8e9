"""Every mutant still applies: what it changes stands there, and its test exists."""

from pathlib import Path

from harness import TEMPLATE, Repository
from mutants import OF_TEMPLATE, listed
from programs.suites import inject


def test_every_mutant_applies(repositories: list[Repository], tmp_path: Path) -> None:
    """What comes of Python is Python, too."""
    for number, mutant in enumerate(listed()):
        places = [TEMPLATE]
        if mutant.suite in OF_TEMPLATE:
            assert mutant.is_in((TEMPLATE / "tests" / mutant.suite).glob("test_*.py")), mutant
        else:
            injected = tmp_path / str(number)
            (injected / "emulator").mkdir(parents=True)
            inject(mutant.suite, mutant.combination, injected / "deep")
            chosen = next(each for each in repositories if each.answers == mutant.combination)
            places = [injected, chosen.root]
        file = next(place / mutant.file for place in places if (place / mutant.file).exists())
        text = file.read_text(encoding="utf-8")
        assert text.count(mutant.old) == 1, mutant
        if file.suffix == ".py":
            compile(text.replace(mutant.old, mutant.new), file, "exec")
