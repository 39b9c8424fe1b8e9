"""The deep suites: what each depends on, where it is run, and which combinations that covers.

A suite is a folder beside, laid out as the template is: `_only/option=choice/` holds what only some
repositories get. It is injected with `support` and the emulated orchestrator, and run once for
every combination of the options that it depends on.
"""

import itertools
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness import FOLDER, OPTIONS, TEMPLATE, Answers, combinations

RUNTIME = TEMPLATE / "tests" / "runtime"
ORCHESTRATOR = TEMPLATE / "tests" / "orchestrator"
# What orchestrators have whatever a container's pipeline is.
TRICKLE = FOLDER / "_only" / "pipeline=live-video-to-video" / "emulator"
NOT_INJECTED = ("_only", "__pycache__", "mutants.toml")
DEPENDS_ON = {
    "http": ("pipeline",),
    "lifecycle": ("pipeline",),
    "worker": ("pipeline",),
    "media": ("pipeline",),
    "encoder": ("accelerator", "pipeline"),
    "trickle": ("pipeline",),
    "gpu": ("accelerator",),
    "gpu_heartbeat": ("accelerator", "registration"),
    "livepeer": ("pipeline", "registration"),
    "emulator": ("pipeline", "registration"),
    "load_test": ("accelerator", "pipeline"),
    "checklist": ("accelerator", "pipeline"),
    "checklist_registration": ("pipeline", "registration"),
    "orchestrator": ("registration",),
}


class Run(NamedTuple):
    """A suite in one combination, which stands for all that agree in what the suite depends on."""

    suite: str
    answers: Answers

    @property
    def name(self) -> str:
        return "-".join([self.suite, *(self.answers[name] for name in DEPENDS_ON[self.suite])])

    def covers(self, answers: Answers) -> bool:
        return all(self.answers[name] == answers[name] for name in DEPENDS_ON[self.suite])


def folder(suite: str) -> Path:
    return ORCHESTRATOR if suite == "orchestrator" else RUNTIME / suite


def holds(condition: Path, answers: Answers) -> bool:
    """Whether the folder is for these answers: as `hooks/post_gen_project.py` reads its name."""
    return any(
        all(
            answers[option] in choices.split(",")
            for option, choices in (part.split("=") for part in alternative.split("+"))
        )
        for alternative in condition.name.split("_or_")
    )


def layers(source: Path, answers: Answers) -> list[Path]:
    """The folders whose files these answers get, without `_only` itself."""
    return [source, *(each for each in source.glob("_only/*") if holds(each, answers))]


def modules(suite: str, answers: Answers) -> list[Path]:
    return [file for layer in layers(folder(suite), answers) for file in layer.glob("test_*.py")]


def inject(suite: str, answers: Answers, target: Path) -> None:
    """Put the suite, and what it needs, into a folder of a generated repository."""
    for source in (RUNTIME / "support", ORCHESTRATOR, folder(suite)):
        for layer in layers(source, answers):
            unwanted = [*NOT_INJECTED, *(["test_*"] if source != folder(suite) else [])]
            ignored = shutil.ignore_patterns(*unwanted)
            shutil.copytree(layer, target, ignore=ignored, dirs_exist_ok=True)
    for name in ("trickle.py", "listener.py"):
        shutil.copy(TRICKLE / name, target.parent / "emulator" / name)


def pairs(answers: Answers) -> set[tuple[tuple[str, str], ...]]:
    """Every two choices that meet in these answers."""
    return set(itertools.combinations(sorted(answers.items()), 2))


def all_pairs() -> set[tuple[tuple[str, str], ...]]:
    return set[tuple[tuple[str, str], ...]]().union(*map(pairs, combinations()))


def choose_runs() -> list[Run]:
    """Of those that would do for a suite, each time the one in which most new pairs meet."""
    missing = all_pairs()
    runs = []
    for suite, names in DEPENDS_ON.items():
        for choices in itertools.product(*(OPTIONS[name] for name in names)):
            chosen = dict(zip(names, choices, strict=True))
            fitting = [each for each in combinations() if each.items() >= chosen.items()]
            best = max(fitting, key=lambda each: len(pairs(each) & missing))
            if modules(suite, best):
                missing -= pairs(best)
                runs.append(Run(suite, best))
    return runs


def uncovered(runs: Iterable[Run]) -> list[str]:
    """What no run stands for: each suite in each combination in which it has tests."""
    runs = list(runs)
    return [
        f"{suite}: {' '.join(answers.values())}"
        for answers in combinations()
        for suite in DEPENDS_ON
        if modules(suite, answers)
        and not any(run.suite == suite and run.covers(answers) for run in runs)
    ]
