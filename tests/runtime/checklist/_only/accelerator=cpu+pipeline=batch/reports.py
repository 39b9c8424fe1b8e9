"""Reports of checklists that might have been, of which some are hostile."""

from datetime import UTC, datetime

from checklist.report import MOST_CHARACTERS, Finding, Report, Verdict
from checklist.runner import conclude, printable

HOSTILE = "</title><script>alert(1)</script>\n| ![x](https://example.com/x.png) &amp; ` "
LINK = "https://docs.livepeer.org/orchestrators"
FIX = "report `loading` with status 503 until `load` has returned."
# Of each item of a real one: its group, id and title, and what it needs.
ITEMS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("Image", "read-only-root", "Serves with a read-only root", []),
    ("Image", "no-secret", "No secret in layers or history", []),
    ("Start", "ready", "`/health` is ok only when it can serve", ["read-only-root"]),
    ("Start", "wrong-settings", "Wrong settings end it, in one line", []),
    ("GPU memory", "memory-fits", "All sessions fit into the memory", ["ready"]),
    ("Graceful shutdown", "sigterm", "SIGTERM loses nothing", ["ready"]),
    ("Graceful shutdown", "second-signal", "A second signal ends the drain", ["sigterm"]),
    ("Health under load", "health-full", "Healthy under full load", ["ready"]),
    ("Monitoring", "metrics", "The four metrics are there", ["ready"]),
    ("Registration", "registered", "It registers itself", ["ready"]),
)


def finding(number: int, verdict: Verdict, words: str, **rest: object) -> Finding:
    group, name, title, needs = ITEMS[number]
    told: dict[str, object] = {
        "id": name,
        "group": group,
        "title": title,
        "proves": "`/health` is ok only once the model is loaded, and whoever calls is served.",
        "why": "An orchestrator that finds the container healthy sends it sessions at once.",
        "link": LINK,
        "fix": FIX,
        "needs": needs,
        "verdict": verdict,
        "words": printable(words)[:MOST_CHARACTERS],
        "seconds": 0 if verdict in ("blocked", "skipped") else 1.5 + number,
    }
    return Finding.model_validate(told | rest)


def report(*items: Finding, finished: bool = True, **rest: object) -> Report:
    told: dict[str, object] = {
        "started": datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        "seconds": sum(item.seconds for item in items),
        "target": "the image example/my-model:0.1.0",
        "quick": False,
        "capacity": 2,
        "items": items,
    }
    made = Report.model_validate(told | rest)
    conclude(made, finished)
    return made


def passed() -> Report:
    seen = [finding(n, "passed", "6 polls were answered, none was missed") for n in range(9)]
    return report(*seen, finding(9, "skipped", "no orchestrator was given: see --orchestrator"))


def failures() -> Report:
    seen: list[tuple[Verdict, str]] = [
        ("passed", "it serves as user 1000, and / is read-only"),
        ("passed", "31 layers and 18 lines of history hold none"),
        ("failed", "/health is ok before the model is loaded"),
        ("passed", "BYOC_CAPACITY none: must be a whole number"),
        ("blocked", "it needs ready"),
        ("failed", "2 of 2 sessions lost their last 7 frames; exit code 0 after 1.2 s"),
        ("blocked", "it needs sigterm"),
        ("passed", "49 polls in 10 s, none was missed; the slowest took 31 ms"),
        ("not tested", "the check itself failed: ValueError('no such metric')"),
        ("skipped", "no orchestrator was given: see --orchestrator"),
    ]
    return report(*(finding(n, *each) for n, each in enumerate(seen)))


def not_tested() -> Report:
    seen = [finding(n, "passed", "as it should be") for n in range(5)]
    wrong = finding(5, "not tested", "the check itself failed: TimeoutError('no port')")
    return report(*seen, wrong, finding(6, "blocked", "it needs sigterm"), quick=True)


def skipped() -> Report:
    words = "it needs a container of its own, and this one is already running"
    seen = [finding(n, "skipped", words) for n in (0, 2, 3, 5)]
    return report(*seen, quick=True, only=["start", "sigterm"])


def unfinished() -> Report:
    return report(finding(0, "passed", "it serves"), finished=False)


def empty() -> Report:
    return report(finished=False)


def hostile() -> Report:
    """Only what was seen and what was tested are hostile, because others wrote them."""
    verdicts: list[Verdict] = ["passed", "failed", "blocked", "skipped", "not tested"]
    items = [
        finding(n // 6, verdicts[n % 5], HOSTILE * 20, id=f"item-{n}", needs=[]) for n in range(60)
    ]
    return report(*items, target=HOSTILE * 50)


REPORTS = {
    make.__name__: make
    for make in (passed, failures, not_tested, skipped, unfinished, empty, hostile)
}
