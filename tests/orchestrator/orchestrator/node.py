"""What the parts of an orchestrator know of it."""

from collections.abc import Callable
from dataclasses import dataclass

from emulator.trickle import TrickleServer


@dataclass
class Node:
    """`service_url` is the address that callers are told, `runner_url` that of containers."""

    secret: str
    trickle: TrickleServer
    report: Callable[[str], object]
    service_url: str = ""
    runner_url: str = ""
