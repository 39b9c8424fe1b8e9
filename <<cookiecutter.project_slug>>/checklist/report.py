"""What the checklist has found: the JSON report, version 1, with the definition of every field.

`python -m checklist --schema` prints the JSON schema.
"""

from typing import Literal

from pydantic import AwareDatetime

from reporting.parts import Part, means

type Verdict = Literal["passed", "failed", "blocked", "skipped", "not tested"]
type Outcome = Literal["passed", "failed", "not tested", "unfinished"]

MOST_CHARACTERS = 1000  # of what was seen


class Finding(Part):
    """An item and its result."""

    id: str = means("The name for `--only` and `--explain`.")
    group: str = means("The heading of the production checklist that it belongs to.")
    title: str
    proves: str = means("The claim.")
    why: str = means("Why it matters.")
    link: str = means("The source of the claim.")
    fix: str = means("What to do when it fails.")
    needs: list[str] = means("The items without which this one is blocked.")
    verdict: Verdict = means(
        "Passed; failed: the claim is false; blocked: an item that it needs failed; skipped: the "
        "claim can't be checked here; not tested: the check itself failed."
    )
    words: str = means("What was seen, or why nothing was.", max_length=MOST_CHARACTERS)
    seconds: float = means("How long the check took.")


class Report(Part):
    """The whole checklist. It is written again after each item."""

    version: Literal[1] = 1
    started: AwareDatetime
    seconds: float = means("How long the whole checklist took.", 0)
    target: str = means("What was tested.")
    quick: bool = means("Whether the load was short and latency was not judged.")
    capacity: int = means("How many sessions at once were tested.")
    only: list[str] = means("The items and groups of `--only`; empty for all.", [])
    items: list[Finding] = means("In the order of the production checklist.", [])
    outcome: Outcome = means(
        "Failed: an item failed. Not tested: none failed, and one could not be tested. Passed: all "
        "items passed or were skipped with a reason. Unfinished: items are still to be run.",
        "unfinished",
    )
    sentence: str = means("The outcome in words.", "")

    def count(self, verdict: Verdict) -> int:
        return sum(item.verdict == verdict for item in self.items)
