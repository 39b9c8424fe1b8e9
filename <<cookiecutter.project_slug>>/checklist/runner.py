"""Runs the items, each after those that it needs, and gives each a verdict."""

import time
from collections.abc import Callable, Iterator, Sequence

import httpx

from .item import FailedError, Item, NotTestedError, SkippedError
from .lab import Lab
from .report import MOST_CHARACTERS, Finding, Outcome, Report, Verdict
from .words import sentence
from emulator.asking import CallError
from emulator.container import StartError
from load_test.level import LoadTestError
from load_test.target import ended

EXIT_CODES: dict[Outcome, int] = {"passed": 0, "failed": 1, "not tested": 2, "unfinished": 2}
STOPPING: tuple[Verdict, ...] = ("failed", "blocked", "not tested")
# Errors that are the fault of the container.
FAULTS = (FailedError, AssertionError, CallError, LoadTestError, httpx.HTTPError)
STARTED = "it needs a container of its own, and this one is already running"
IMAGE = "it needs an image: see --image"


def choose(items: Sequence[type[Item]], only: Sequence[str]) -> list[type[Item]]:
    """All items, or those of `only`, in their order, but each after those that it needs."""
    asked_for = [item for item in items if not only or {item.id, item.module()} & {*only}]
    return [*dict.fromkeys(each for item in asked_for for each in with_needs(item))]


def with_needs(item: type[Item]) -> Iterator[type[Item]]:
    for need in item.needs:
        yield from with_needs(need)
    yield item


def run(items: Sequence[type[Item]], lab: Lab, begin: Callable[[str], None]) -> Iterator[Finding]:
    """Run one after the other; `begin` is called with an item's title before its check."""
    found: dict[str, Verdict] = {}
    for item in items:
        begin(item.texts.title)
        started = time.monotonic()
        verdict, words = examine(item, lab, found)
        found[item.id] = verdict
        yield Finding(
            id=item.id,
            group=item.group(),
            **item.texts._asdict(),
            needs=[need.id for need in item.needs],
            verdict=verdict,
            words=printable(words)[:MOST_CHARACTERS],
            seconds=round(time.monotonic() - started, 1),
        )


def printable(words: str) -> str:
    """One line without control characters, because the words may quote a container's log."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())


def examine(item: type[Item], lab: Lab, found: dict[str, Verdict]) -> tuple[Verdict, str]:
    if item.target == "image" and not lab.image:
        return "skipped", IMAGE
    if item.target == "started" and lab.options.url:
        return "skipped", STARTED
    if missing := [need.id for need in item.needs if found[need.id] in STOPPING]:
        return "blocked", f"it needs {', '.join(missing)}"
    try:
        return "passed", item().check(lab)
    except SkippedError as error:
        return "skipped", str(error)
    except StartError as error:
        return "failed", ended(error)
    except FAULTS as error:
        return "failed", str(error) or repr(error)
    except NotTestedError as error:
        return "not tested", str(error)
    except Exception as error:
        return "not tested", f"the check itself failed: {error!r}"


def conclude(report: Report, finished: bool) -> None:
    """Derive outcome and sentence from the items, after each item."""
    verdicts = [item.verdict for item in report.items]
    if not finished:
        report.outcome = "unfinished"
    elif "failed" in verdicts:
        report.outcome = "failed"
    elif {"not tested", "blocked"} & {*verdicts}:
        report.outcome = "not tested"
    else:
        report.outcome = "passed"
    report.sentence = sentence(report)
