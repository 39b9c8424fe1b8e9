"""All items, in the order in which they are checked."""

from ..item import Item
from . import concurrency, faults, health, image, memory, monitoring, registration, shutdown, start

MODULES = (image, start, memory, shutdown, health, monitoring, concurrency, faults, registration)
ALL: list[type[Item]] = [
    found
    for module in MODULES
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Item) and found.__module__ == module.__name__
]
