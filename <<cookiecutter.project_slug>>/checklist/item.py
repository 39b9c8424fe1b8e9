"""What one item of the checklist is: a claim about the container, and a check that can fail."""

import re
import sys
from typing import ClassVar, Literal, NamedTuple, final

from .lab import Lab

LINK = re.compile(r"https://\S+[\w/]")

# Whether an item can be checked on any container that runs, only on one that is started for it, or
# only on an image.
type Target = Literal["running", "started", "image"]


class FailedError(Exception):
    """The claim does not hold: one sentence that says what was seen."""


class SkippedError(Exception):
    """Nothing can be said of the claim here: one sentence that says why."""


class NotTestedError(Exception):
    """The check could not be made: one sentence that says why."""


class Texts(NamedTuple):
    """What the docstring of an item says. `link` leads to whoever asks for it."""

    proves: str
    why: str
    link: str
    fix: str


class Item:
    """One item. Its docstring has three paragraphs: the claim, `Why:` with a link, and `Fix:`.

    What is in `needs` is checked before; the item is blocked if it does not hold.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[type["Item"], ...]] = ()
    target: ClassVar[Target] = "started"

    def check(self, lab: Lab) -> str:
        """What was seen. Raises FailedError, SkippedError or NotTestedError."""
        raise NotImplementedError

    @classmethod
    @final
    def module(cls) -> str:
        """The name that `--only` has for all items of its group."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    @final
    def group(cls) -> str:
        """The title of its module."""
        return (sys.modules[cls.__module__].__doc__ or "").splitlines()[0].rstrip(".")

    @classmethod
    @final
    def texts(cls) -> Texts:
        proves, why, fix = (" ".join(part.split()) for part in (cls.__doc__ or "").split("\n\n"))
        (link,) = LINK.findall(why)
        reason = why.removeprefix("Why: ").replace(link, "").strip()
        cure = fix.removeprefix("Fix: ")
        return Texts(proves, reason[0].upper() + reason[1:], link, cure[0].upper() + cure[1:])
