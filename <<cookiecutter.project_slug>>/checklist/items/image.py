"""Image.

What is in it, and what it starts as.
"""

from ..item import Item, SkippedError
from ..lab import Lab


class ReadOnlyRoot(Item):
    """The container starts and serves with a read-only root, no capabilities and no new privileges.

    Why: who breaks into the model then finds nothing to write to and no rights to take.
    https://docs.docker.com/engine/containers/run/

    Fix: write below /tmp alone, which is memory, and run as a user of its own.
    """

    id = "read-only-root"
    title = "Serves with a read-only root"
    target = "image"

    def check(self, lab: Lab) -> str:
        raise SkippedError("not yet")


ITEMS: tuple[type[Item], ...] = (ReadOnlyRoot,)
