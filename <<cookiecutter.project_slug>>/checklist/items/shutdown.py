"""TODO."""

from ..item import Item

ITEMS: tuple[type[Item], ...] = ()
