"""An item of the checklist: a claim about the container, and a check that can fail."""

import re
import sys
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

from .lab import Lab

LINK = re.compile(r"https://\S+[\w/]")

# An item can be checked on any running container, only on one that is started for it, or only on an
# image.
type Target = Literal["running", "started", "image"]


class FailedError(Exception):
    """The claim is false: one sentence that says what was seen."""


class SkippedError(Exception):
    """The claim can't be checked here: one sentence that says why."""


class NotTestedError(Exception):
    """The check itself failed: one sentence that says why."""


class Texts(NamedTuple):
    """The parts of an item's docstring. `link` is the source of the claim."""

    title: str
    proves: str
    why: str
    link: str
    fix: str


class Item(ABC):
    """One item. The name of its class gives its id. Its docstring has four paragraphs: the title,
    the claim, `Why:` with a link, and `Fix:`.

    The items in `needs` are checked before; if one of them fails, this item is blocked.
    """

    needs: ClassVar[tuple[type["Item"], ...]] = ()
    target: ClassVar[Target] = "started"
    id: ClassVar[str]
    texts: ClassVar[Texts]

    def __init_subclass__(cls) -> None:
        cls.id = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
        cls.texts = read_texts(cls.__doc__ or "")

    @abstractmethod
    def check(self, lab: Lab) -> str:
        """Returns what was seen. Raises FailedError, SkippedError or NotTestedError."""

    @classmethod
    def module(cls) -> str:
        """The name that `--only` has for all items of its group."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def group(cls) -> str:
        """The title of its module."""
        return (sys.modules[cls.__module__].__doc__ or "").splitlines()[0].rstrip(".")


def read_texts(docstring: str) -> Texts:
    title, proves, why, fix = (" ".join(part.split()) for part in docstring.split("\n\n"))
    (link,) = LINK.findall(why)
    reason, cure = why.removeprefix("Why: ").replace(link, ""), fix.removeprefix("Fix: ")
    return Texts(title.rstrip("."), proves, capital(reason.strip()), link, capital(cure))


def capital(text: str) -> str:
    return text[0].upper() + text[1:]
