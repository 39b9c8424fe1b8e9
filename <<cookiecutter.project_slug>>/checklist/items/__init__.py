"""All items, in the order in which they are checked."""

from ..item import Item
from . import concurrency, faults, health, image, memory, monitoring, registration, shutdown, start

ALL: tuple[type[Item], ...] = (
    *image.ITEMS,
    *start.ITEMS,
    *memory.ITEMS,
    *shutdown.ITEMS,
    *health.ITEMS,
    *monitoring.ITEMS,
    *concurrency.ITEMS,
    *faults.ITEMS,
    *registration.ITEMS,
)
