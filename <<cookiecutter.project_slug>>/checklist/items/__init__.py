"""All items, in the order of the production checklist. They run in another: see runner.py."""

from ..item import Item
from . import concurrency, faults, health, image, memory, monitoring, registration, shutdown, start

MODULES = (memory, shutdown, health, monitoring, image, start, concurrency, faults, registration)
ALL: list[type[Item]] = [
    found
    for module in MODULES
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Item) and found.__module__ == module.__name__
]
